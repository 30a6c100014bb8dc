"""The example application and the same endpoint written by hand, each served by uvicorn, and requests to it.

Imported by `database`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from storage.meters import measure_calls

__all__ = ["APPLICATIONS", "BY_HAND", "EXAMPLE_NAME", "JOB", "ask", "serving"]

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "document_intake"
START_SECONDS = 60
JOB = "bench-job"

BY_HAND, EXAMPLE_NAME = "by hand", "indiaai, the example"
APPLICATIONS: Mapping[str, str] = {EXAMPLE_NAME: "main:app", BY_HAND: "databases.by_hand:app"}
"""What uvicorn serves for each contender."""


@contextmanager
def serving(application: str, folder: Path) -> Iterator[int]:
    """Serve an application in a folder, with its database there, and give its port."""
    paths = os.pathsep.join(map(str, (EXAMPLE, ROOT / "benchmarks")))
    environment = {**os.environ, "PYTHONPATH": paths, "SQLITE_DB_PATH": str(folder / "bench.db"), "PYTHONUNBUFFERED": "1"}
    log = folder / f"{application.partition(':')[0]}.log"
    command = [sys.executable, "-m", "uvicorn", application, "--port", "0", "--no-access-log"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        yield _port(process, log)
    finally:
        process.terminate()
        process.wait(30)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text("utf-8", "replace")):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"It did not start: {log.read_text('utf-8', 'replace')[-1000:]}")


async def ask(port: int, *, at_once: int, seconds: float) -> dict[str, float]:
    """Ask for a job over connections that are kept, so many at once, and return rate and latencies."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(at_once)]
    free = list(connections)
    request = f"GET /jobs/{JOB} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()

    async def call(_: int) -> None:
        reader, writer = free.pop()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        free.append((reader, writer))

    figures = await measure_calls(call, at_once=at_once, seconds=seconds)
    for _, writer in connections:
        writer.close()
    return figures
