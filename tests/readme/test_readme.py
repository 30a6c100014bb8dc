"""What the README and the tutorial show is run as it stands, on the embedded defaults."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

Writer = Callable[[str], Path]

WAIT_SECONDS = 30.0


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run the application of a folder under uvicorn, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=folder, env=bare_environment()) as server:
        try:
            wait_for(lambda: _answers(f"http://127.0.0.1:{port}/health/ready"))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(WAIT_SECONDS)


def _answers(address: str) -> bool:
    try:
        return httpx2.get(address).is_success
    except httpx2.TransportError:
        return False


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return the condition's first true answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"still waiting after {WAIT_SECONDS:g} s")


def bare_environment() -> dict[str, str]:
    """Return the process's variables without any that chooses a backend or says where Python looks."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_TYPE") and name != "PYTHONPATH"}


def test_the_readme_s_application_stores_queues_and_works_a_note(write_files: Writer) -> None:
    """The README's twenty lines, saved as they stand, take a note in, count its words and give it back by its link."""
    note = "एक दो तीन and four".encode()

    with served(write_files("README.md")) as address, httpx2.Client(base_url=address) as client:
        receipt = client.put("/notes/counting.txt", content=note).json()
        status = wait_for(lambda: _if_settled(client, receipt["task"]))
        linked = client.get(receipt["url"])

    assert status == {"state": "completed", "result": {"words": 5}}
    assert linked.content == note
    assert linked.headers["content-type"].startswith("text/plain")


def _if_settled(client: httpx2.Client, task_id: str) -> Any:
    status = client.get(f"/tasks/{task_id}").json()
    return status if status["state"] not in {"pending", "processing"} else None


def test_the_tutorial_s_first_program_stores_and_reads(write_files: Writer) -> None:
    """The tutorial's first program prints what it stored, and leaves it under ./data."""
    folder = write_files("docs/tutorial/first-application.md")

    run = _run(folder, "store.py")

    assert run.returncode == 0, run.stderr
    assert run.stdout == "namaste\n"
    assert (folder / "data").is_dir()


def test_the_tutorial_s_application_passes_the_tutorial_s_test(write_files: Writer) -> None:
    """The test that the tutorial writes passes on the application that it writes."""
    folder = write_files("docs/tutorial/first-application.md")

    run = _run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_app.py")

    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


def test_a_misspelt_backend_is_told_as_the_tutorial_says(write_files: Writer) -> None:
    """The error that the tutorial shows for a typing mistake is the one that comes."""
    folder = write_files("docs/tutorial/first-application.md")

    run = _run(folder, "store.py", STORAGE_TYPE="locla")

    assert run.returncode == 1
    assert "STORAGE_TYPE='locla': no such storage backend is installed. Did you mean 'local'?" in run.stderr


def _run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**bare_environment(), "PYTHONUTF8": "1", **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
