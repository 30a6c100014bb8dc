"""Run the application on the backends that the environment selects, and work the sample documents through it.

`python demo.py` keeps serving until it is interrupted; `--once` stops after the samples, with status 0 if all went well.
Where the queue is shared, a worker is run beside the application.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from indiaai_core import get_queue_service

HERE = Path(__file__).resolve().parent
START_SECONDS = 60
JOB_SECONDS = 60

SAMPLES: dict[str, dict[str, object]] = {
    "water-report.pdf": {"kind": "pdf", "pages": 3},
    "hindi-letter.txt": {"kind": "text", "lines": 17},
    "tamil-notes.txt": {"kind": "text", "lines": 13},
    "notes.md": {"kind": "markdown", "lines": 19},
    "water-levels.png": {"kind": "image", "format": "PNG", "width": 640, "height": 400},
}
"""The documents that are sent, and some of what must be found in each."""

SHOWN = ("kind", "format", "width", "height", "pages", "characters", "words", "lines")


def main() -> int:
    """Run the demonstration; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the document intake on the selected backends, with sample documents.")
    parser.add_argument("--once", action="store_true", help="stop after the samples")
    parser.add_argument("--port", type=int, default=8000, help="the port to serve on (default: 8000)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server is ended with this process
    port = free_port(arguments.port)
    if port != arguments.port:
        say(f"Port {arguments.port} is taken; using {port} instead.\n")
    address = f"http://127.0.0.1:{port}"
    with contextlib.suppress(KeyboardInterrupt), serving(port, address) as server, working():
        went_well = send_samples(address)
        if not arguments.once:
            say(f"\nThe page:  {address}/\nThe API:   {address}/docs\n\nPress Ctrl-C to stop.\n")
            return server.wait()
        return 0 if went_well else 1
    return 0


def free_port(wanted: int) -> int:
    """Return the wanted port, or any other where that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            if os.name == "posix":  # what a connection that was just closed still holds is free; on Windows this would steal
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise SystemExit("No port of 127.0.0.1 can be listened on.")


@contextlib.contextmanager
def serving(port: int, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the application with uvicorn for as long as the block lasts. What it keeps is in `data`, beside this file."""
    say(f"Starting the application on {address} (its data: {HERE / 'data'})\n")
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=HERE)  # noqa: S603 - our own interpreter and application
    try:
        wait_until_ready(server, address)
        yield server
    finally:
        end(server)


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Work the queue in a process of its own for as long as the block lasts, where the application does not work it itself."""
    if "in_process" in get_queue_service().capabilities:
        yield
        return
    say("Starting a worker: indiaai worker worker:worker\n")
    command = [sys.executable, "-m", "indiaai_core", "worker", "worker:worker"]
    worker = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter and worker
    try:
        yield
    finally:
        end(worker)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to stop, and wait until it has."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the application says that every service it needs is there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"The application did not start (exit status {server.returncode}); what it said is above.")
        with contextlib.suppress(OSError):
            services = ask(f"{address}/health/ready")["services"]
            say(f"Ready:     {', '.join(sorted(services))}\n")
            return
        time.sleep(0.1)
    raise SystemExit(f"The application was not ready within {START_SECONDS} seconds.")


def send_samples(address: str) -> bool:
    """Send every sample and say what became of it; return whether all of it was as expected."""
    results = [send_sample(address, HERE / "documents" / name, expected) for name, expected in SAMPLES.items()]
    say(f"\n{sum(results)} of {len(results)} documents went in, were stored, queued, worked and answered.\n")
    return all(results)


def send_sample(address: str, path: Path, expected: dict[str, object]) -> bool:
    """Send one document, wait for it to be read, and compare what was found, and the file itself, with what went in."""
    say(f"\n{path.name}\n")
    receipt = upload(address, path)
    say(f"  stored   document {receipt['document_id']}\n  queued   job {receipt['job_id']}\n")
    job = wait_for(f"{address}/jobs/{receipt['job_id']}")
    say(f"  worked   {job['state']}{': ' + job['error'] if job['error'] else ''}\n")
    document = ask(f"{address}/documents/{receipt['document_id']}")
    facts = document["facts"]
    say(f"  answered {', '.join(f'{name} {facts[name]}' for name in SHOWN if name in facts)}\n")
    if document["text"]:
        say(f"           “{' '.join(document['text'].split())[:72]}…”\n")
    with urllib.request.urlopen(document["url"], timeout=30) as answer:  # noqa: S310 - the link the application gave
        is_same = answer.read() == path.read_bytes()
    say(f"  link     {'gives the same file back' if is_same else 'GIVES ANOTHER FILE'}\n")
    return is_same and all(facts.get(name) == value for name, value in expected.items())


def upload(address: str, path: Path) -> Any:
    """Send a file as a browser's form does."""
    boundary = uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return ask(f"{address}/upload", data=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})


def wait_for(job: str) -> Any:
    """Ask for a job until it has come to an end."""
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        status = ask(job)
        if status["state"] not in ("pending", "processing"):
            return status
        time.sleep(0.1)
    raise SystemExit(f"{job} did not come to an end within {JOB_SECONDS} seconds.")


def ask(address: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    """Return what the application answers."""
    request = urllib.request.Request(address, data=data, headers=headers or {})  # noqa: S310 - our own application
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        return json.load(answer)


def say(text: str) -> None:
    """Write to the terminal at once, whatever it can show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
