"""The application as a process, seen over HTTP."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

__all__ = ["DOCUMENTS", "HOME", "Application", "wait_for"]

HOME = Path(__file__).resolve().parent.parent
DOCUMENTS = HOME / "documents"

T = TypeVar("T")


def wait_for(question: Callable[[], T | None], *, seconds: float = 30) -> T:
    """Ask until the answer is truthy, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"It did not come true within {seconds} seconds.")


class Application:
    """`uvicorn main:app` in an empty folder, so that all its data is there and none of it is left."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Prepare to start; `settings` are environment variables."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = ""
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": f"{folder}", **settings}
        self._log = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = httpx2.Client(timeout=30)

    def start(self) -> Self:
        """Start it and wait until it serves."""
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HOME), "main:app", "--port", "0", "--no-access-log"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
        self.address = wait_for(self._find_address)
        self.client.base_url = httpx2.URL(self.address)
        return self

    def stop(self) -> None:
        """Stop it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it as a power cut does."""
        self._end(signal.SIGKILL)

    @property
    def log(self) -> str:
        """What it said since it was started last."""
        return self._log.read_text("utf-8", "replace")

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory that the process has had at once; Linux only."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    def upload(self, name: str, content: bytes, declared_type: str = "application/octet-stream") -> httpx2.Response:
        """Send a file as a browser's form does."""
        return self.client.post("/upload", files={"file": (name, content, declared_type)})

    def submit(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a file that must be taken, and return the receipt."""
        answer = self.upload(name, content)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has come to an end, and return its status."""

        def is_finished() -> dict[str, Any] | None:
            status = self.client.get(f"/jobs/{job_id}").raise_for_status().json()
            return status if status["state"] in ("completed", "failed", "cancelled") else None

        return wait_for(is_finished)

    def work(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a file, and return the status of its job at the end."""
        return self.finished(self.submit(name, content)["job_id"])

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table, past the application; only where it runs on its defaults."""
        with sqlite3.connect(self._database) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute("SELECT * FROM documents")]
        connection.close()
        return rows

    def change_rows(self, statement: str, *values: object) -> None:
        """Change the table, past the application; only where it runs on its defaults and is stopped."""
        with sqlite3.connect(self._database) as connection:
            connection.execute(statement, values)
        connection.close()

    def stored_bytes(self) -> int:
        """Return how many bytes all files but the database's have together; only where it runs on its defaults."""
        files = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files if not path.name.startswith(self._database.name))

    @property
    def _database(self) -> Path:
        (path,) = (self.folder / "data").glob("*.db")
        return path

    def _find_address(self) -> str | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"The application did not start:\n{self.log}")
        found = re.search(r"running on (http://\S+)", self.log)
        return found[1] if found else None

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None
        self.client.close()
        self.client = httpx2.Client(timeout=30, base_url=self.address)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
        self.client.close()
