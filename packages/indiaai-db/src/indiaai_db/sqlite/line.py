"""The line in which those wait that found an SQLite file locked: a lock on a file beside it; imported by the driver.

SQLite has no line: all who wait for its lock sleep and try again, each on its own, and who is lucky has it. Here the kernel
keeps them asleep, in the order in which they came, and only the first one tries again, and often.

The line is no more than a hint. What may write is SQLite's lock alone, so a program that does not know of the line breaks
nothing; who dies has left it; and who waits in it also tries out of turn, lest one that stands still keeps all the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any

__all__ = ["Line"]

fcntl: Any = import_module("fcntl") if os.name == "posix" else None  # on Windows everybody is first


class Line:
    """One connection's place in the line, for one transaction at a time; any thread may use it.

    Attributes:
        is_waiting: Whether others stood before this connection when it came, and still do.
        is_first: Whether nobody stands before this connection, which waited; it stays so until it leaves.
    """

    def __init__(self, path: Path) -> None:
        """Hold the path of the line's file, which is made when somebody waits first; where it cannot be, all are first."""
        self._path = path
        self._file: int | None = None
        self._guard = RLock()
        self._call: Callable[[], object] | None = None
        self._asked: SimpleQueue[bool] | None = None
        self.is_waiting = False
        self.is_first = False

    def wait(self, call: Callable[[], object]) -> None:
        """Call something once: when this connection is first, or else when `call_now` is called. It must not block."""
        with self._guard:
            self._call = call
            if self.is_waiting:
                return
            self.is_waiting = True
            if self._asked is None:
                self._asked = SimpleQueue()
                Thread(target=self._stand, args=(self._asked,), name="indiaai-sqlite-line", daemon=True).start()
            self._asked.put(True)

    def call_now(self) -> None:
        """Call what waits to be called, if it still does."""
        with self._guard:
            call, self._call = self._call, None
            if call is not None:
                call()

    def give_up(self) -> bool:
        """Return whether something waited to be called, which now it will not be."""
        with self._guard:
            call, self._call = self._call, None
            return call is not None

    def leave(self) -> None:
        """Let the next one be first; without a place it does nothing."""
        with self._guard:
            if self.is_first:
                self.is_first = False
                self._flock(is_wanted=False)

    def close(self) -> None:
        """Leave for good."""
        with self._guard:
            self.leave()
            self._call = None
            if self._asked is not None:
                self._asked.put(False)

    def _stand(self, asked: SimpleQueue[bool]) -> None:
        # In a thread of its own: a lock of the kernel's that is waited for cannot be taken back.
        with suppress(OSError):
            self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o666)
        while asked.get():
            self._flock(is_wanted=True)
            with self._guard:
                self.is_waiting, self.is_first = False, True
                if self._call is None:  # it gave up meanwhile
                    self.leave()
                self.call_now()
        if self._file is not None:
            os.close(self._file)

    def _flock(self, *, is_wanted: bool) -> None:
        if self._file is not None and fcntl is not None:
            with suppress(OSError):  # a file system without such locks
                fcntl.flock(self._file, fcntl.LOCK_EX if is_wanted else fcntl.LOCK_UN)
