"""The command `indiaai` as a process, as an operator has it; imported by the tests of what it does on real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["PROGRAM", "Running", "call", "is_alive", "run_long", "run_worker", "wait_for"]

PROGRAM = Path(sys.executable).parent / "indiaai"
SECONDS = 60
Found = TypeVar("Found")


def call(
    *arguments: str, folder: Path, variables: dict[str, str], stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, at a terminal or with nobody there."""
    return subprocess.run(
        [f"{PROGRAM}", *arguments],
        cwd=folder,
        env=_environment(variables),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@dataclass
class Running:
    """A command that was started, such as `indiaai worker`.

    Attributes:
        process: The process.
        log: What it and its children print.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Return what was printed by now."""
        return self.log.read_text("utf-8")

    def hears(self, pattern: str, *, count: int = 1) -> list[str]:
        """Wait until a pattern was printed so often, and return what was found."""
        return wait_for(lambda: found if len(found := re.findall(pattern, self.said())) >= count else None, self.said)

    def children(self, count: int) -> list[int]:
        """Wait until so many processes have begun to work, and return their ids, the latest last."""
        return [int(pid) for pid in self.hears(r"\[(\d+)\] indiaai\.worker: Working ", count=count)]

    def stop(self, *signals: signal.Signals) -> int:
        """Send signals, and return the exit status."""
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def run_worker(*arguments: str, folder: Path, variables: dict[str, str]) -> Iterator[Running]:
    """Run `indiaai worker` beside the block; whatever is left of it at the end is killed."""
    with run_long("worker", *arguments, folder=folder, variables=variables) as running:
        yield running


@contextmanager
def run_long(*arguments: str, folder: Path, variables: dict[str, str]) -> Iterator[Running]:
    """Run a command that goes on until it is stopped, as `run_worker` does."""
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as output:
        command = [f"{PROGRAM}", *arguments]
        process = subprocess.Popen(command, cwd=folder, env=_environment(variables), stdout=output, stderr=output)
    running = Running(process, log)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        for pid in re.findall(r"\[(\d+)\] indiaai\.worker: Working ", running.said()):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and that nobody has asked about since does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_for(find: Callable[[], Found | None], explain: Callable[[], str] = str) -> Found:
    """Wait until something is found, and return it."""
    deadline = time.monotonic() + SECONDS
    while (found := find()) is None:
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)
    return found


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONUTF8": "1", "COLUMNS": "200", **variables}
