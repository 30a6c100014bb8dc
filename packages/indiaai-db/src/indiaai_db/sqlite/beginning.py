"""How a transaction that may write begins on an SQLite file to which others write too; imported by the driver."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import suppress
from threading import Lock

from indiaai_db.errors import TransactionConflict

__all__ = ["ImmediateBeginning", "primary_code"]

FIRST_PAUSE_SECONDS = 0.004
"""How long who is first in line waits after its first try. Shorter pauses hand the lock on more often, and processes that take
turns at each transaction come to half the speed of one that does several in a row."""

LONGEST_PAUSE_SECONDS = 0.01

OUT_OF_TURN_SECONDS = 0.25
"""How long to wait in the line before trying all the same: the first one may have been stopped, or forked and then killed."""


class ImmediateBeginning:
    """Begins a transaction that may write as soon as no other connection does.

    Attributes:
        has_begun: Whether it has, for whoever begins it to note.
    """

    def __init__(self, *, timeout_seconds: float, busy_timeout_seconds: float) -> None:
        """Count the time from here."""
        self._timeout_seconds = timeout_seconds
        self._busy_timeout = f"PRAGMA busy_timeout={round(busy_timeout_seconds * 1000)}"
        self._deadline = time.monotonic() + timeout_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self.has_begun = False
        self._is_wanted = Lock()  # and no Event, which is ten times as much to make
        self._is_wanted.acquire()

    def try_to_begin(self, handle: sqlite3.Connection, *, is_first: bool) -> bool:
        """Begin; who is first tries until it has begun.

        Raises:
            TransactionConflict: Another connection held the database all the time.
        """
        while not self._begin(handle):
            if time.monotonic() >= self._deadline:
                raise TransactionConflict(
                    f"Another connection kept the SQLite database locked for {self._timeout_seconds:g} s. Keep transactions "
                    "short: nothing slow belongs inside a session.",
                    retry_after=1.0,
                )
            if not is_first or self._is_wanted.acquire(timeout=self._pause_seconds * random.uniform(0.5, 1)):  # noqa: S311 - no secret
                return False
            self._pause_seconds = min(self._pause_seconds * 1.5, LONGEST_PAUSE_SECONDS)
        return True

    def wait_seconds(self) -> float:
        """Return when to try out of turn: not later than the end of the time."""
        return min(OUT_OF_TURN_SECONDS, max(self._deadline - time.monotonic(), 0))

    def give_up(self) -> None:
        """Try no more."""
        with suppress(RuntimeError):  # it was given up before
            self._is_wanted.release()

    def _begin(self, handle: sqlite3.Connection) -> bool:
        # SQLite's own waiting cannot be cancelled and sleeps up to 100 ms at a time: here it must answer at once.
        handle.execute("PRAGMA busy_timeout=0")
        try:
            handle.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            handle.execute(self._busy_timeout)
        return True


def primary_code(error: BaseException | None) -> int | None:
    """Return SQLite's primary result code of an error, or None if it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
