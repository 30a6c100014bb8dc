"""A contender's workers: process groups that are started, asked what they use, and killed; imported by the harness."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Workers", "running_workers"]

BENCHMARKS = Path(__file__).parent.parent


class Workers:
    """Processes that were started, with all that those started in turn."""

    def __init__(self, started: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
        """Hold what was started, and where it writes."""
        self._started = started
        self._log = log

    def are_alive(self) -> bool:
        """Whether none has ended."""
        return all(process.poll() is None for process in self._started)

    def last_words(self) -> str:
        """Return the last line that one of them wrote."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing was said"

    def cpu_seconds(self) -> float:
        """Return the processor time of all so far."""
        tick = os.sysconf("SC_CLK_TCK")
        return sum((int(fields[11]) + int(fields[12])) / tick for _, fields in self._found())

    def peak_mib(self) -> float:
        """Return the most memory that they had, one by one, added up."""
        total = 0
        for process, _ in self._found():
            with suppress(OSError):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return total / 1024

    def _found(self) -> Iterator[tuple[int, list[str]]]:
        # Each was started as the leader of a session; what it starts stays in there. Field 4 after the name is the session.
        leaders = {str(process.pid) for process in self._started}
        for name in os.listdir("/proc"):
            with suppress(OSError):
                if name.isdigit():
                    fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                    if fields[3] in leaders:
                        yield int(name), fields


@contextmanager
def running_workers(command: Sequence[str], *, count: int, environment: Mapping[str, str], log: Path) -> Iterator[Workers]:
    """Run so many workers of a command, and kill them at the end: nothing is asked of them any more."""
    started: list[subprocess.Popen[Any]] = []
    variables = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}", **environment}
    try:
        with log.open("wb") as file:
            output: Any = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            for _ in range(count):
                # One by one, so that those that were started are ended if the next does not start.
                started += [subprocess.Popen(command, cwd=BENCHMARKS, env=variables, start_new_session=True, **output)]
        yield Workers(started, log)
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
