"""How an attempt ends, as values: what a handler may raise or return, and what the worker makes of it.

Imported by applications (`Retry`, `Reject`) and by the rest of the worker.
"""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_DELAY_SECONDS, Task

__all__ = ["Outcome", "OutcomeKind", "Reject", "Retry", "describe", "format_traceback"]

MAX_ERROR_CHARACTERS = 2_000
"""The most characters of an error that are kept: a message that quotes a document must not fill the queue."""

MAX_TRACEBACK_CHARACTERS = 16_000
"""The most characters of a traceback that are kept; its end is, because that is where it happened."""

_OWN_FOLDER = str(Path(__file__).parent)


class Retry(Exception):
    """Raised or returned by a handler: try again, later.

    The attempt counts: after the last one the task is a dead letter.

    Attributes:
        after: Seconds until the next attempt; None leaves it to the handler's backoff.
        reason: Why, kept as the error in the task's status.
    """

    def __init__(self, after: float | timedelta | None = None, reason: str = "") -> None:
        """Check the delay.

        Args:
            after: Seconds, or a `timedelta`, from 0 to 366 days.
            reason: Why.

        Raises:
            InvalidTask: `after` is out of its limits.
        """
        super().__init__(after, reason)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not 0 <= seconds <= MAX_DELAY_SECONDS:
            raise InvalidTask(f"Retry(after={after!r}): expected 0 to {MAX_DELAY_SECONDS} seconds.")
        self.after = seconds
        self.reason = reason

    def __str__(self) -> str:
        """Render the reason."""
        return self.reason or "The handler asked for a retry."


class Reject(Exception):
    """Raised or returned by a handler: this task can never be done; it fails at once and becomes a dead letter.

    Attributes:
        reason: Why, in words for whoever reads the task's status.
    """

    def __init__(self, reason: str) -> None:
        """Hold the reason."""
        super().__init__(reason)
        self.reason = reason


class OutcomeKind(StrEnum):
    """What became of a delivery."""

    COMPLETED = "completed"
    """The handler's result was kept."""
    FAILED = "failed"
    """It is a dead letter: rejected, not understood, or its last attempt is spent."""
    RETRIED = "retried"
    """It is back in the queue for another attempt."""
    RELEASED = "released"
    """The worker stopped first and gave it back."""
    LOST = "lost"
    """The lease was no longer ours: cancelled, or delivered to another. Nothing was settled."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery.

    Attributes:
        task: The delivery.
        kind: What became of it.
        result: What the handler gave, if it completed.
        error: Why it did not complete.
        traceback: Where it failed, as text, if an exception did it.
        delay_seconds: How long until the next attempt, if it is retried.
    """

    task: Task
    kind: OutcomeKind
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    delay_seconds: float = 0


def describe(error: BaseException) -> str:
    """Return an exception as one line for a task's status: its type, and its message shortened."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return _shown(text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[: MAX_ERROR_CHARACTERS - 3]}...")


def format_traceback(error: BaseException) -> str:
    """Return an exception's traceback as text, from the handler on and shortened at its beginning."""
    lines = tracebacks.format_exception(type(error), error, _from_handler(error.__traceback__))
    text = "".join(lines)
    return _shown(text if len(text) <= MAX_TRACEBACK_CHARACTERS else f"...{text[3 - MAX_TRACEBACK_CHARACTERS :]}")


def _from_handler(found: TracebackType | None) -> TracebackType | None:
    # The frames of the worker and of the thread hand-over are the same in every failure and say nothing about it.
    entry = found
    while entry is not None and not entry.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        entry = entry.tb_next
    while entry is not None:
        if not _is_machinery(entry.tb_frame.f_code.co_filename):
            return entry
        entry = entry.tb_next
    return found


def _is_machinery(filename: str) -> bool:
    return filename.startswith(_OWN_FOLDER) or f"{Path('/')}anyio{Path('/')}" in filename


def _shown(text: str) -> str:
    # A lone surrogate (a file name of unknown encoding) cannot be written as UTF-8, and would hide the failure itself.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
