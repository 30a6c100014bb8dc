"""Notes which task ran when, in memory that all processes of a run share: nothing is counted through a queue under test.

Imported by every contender's handlers and producer, in their own environments, and by the harness: standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["VARIABLE", "Record", "shared_record"]

VARIABLE = "BENCH_QUEUE_RECORD"
_RUN = struct.Struct("<dq")


class Record:
    """For each number of a task: when it ran, on the machine's monotonic clock, and in which process."""

    def __init__(self, path: str) -> None:
        """Open a record that `create` made."""
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._process = os.getpid()

    @classmethod
    def create(cls, path: Path, tasks: int) -> Record:
        """Make an empty record for so many tasks."""
        path.write_bytes(bytes(tasks * _RUN.size))
        return cls(str(path))

    def mark(self, number: int) -> None:
        """Note that a task runs now."""
        _RUN.pack_into(self._memory, number * _RUN.size, time.monotonic(), self._process)

    def time_of(self, number: int) -> float:
        """Return when a task ran; 0.0 if it has not."""
        seconds: float = _RUN.unpack_from(self._memory, number * _RUN.size)[0]
        return seconds

    def runs(self) -> Iterator[tuple[float, int]]:
        """Give time and process of each task that ran."""
        return ((seconds, process) for seconds, process in _RUN.iter_unpack(self._memory[:]) if seconds)

    def count(self) -> int:
        """Return how many tasks ran."""
        return sum(1 for _ in self.runs())


def shared_record() -> Record:
    """Return the record that the environment names, opened once in each process, forked ones included."""
    return _open(os.environ[VARIABLE], os.getpid())


@cache
def _open(path: str, _process: int) -> Record:
    return Record(path)
