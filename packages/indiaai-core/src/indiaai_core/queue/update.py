"""What a call of `update_status` or `retry` comes down to, checked the same way for all; imported by every queue backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from indiaai_core.errors import InvalidTask
from indiaai_core.queue.task import MAX_TASK_BYTES, TaskState, encode_json

__all__ = ["MAX_ERROR_CHARACTERS", "StatusUpdate"]

MAX_ERROR_CHARACTERS = 16_384
"""The most characters that are kept of an error (its beginning) and of a traceback (its end)."""

_UPDATES = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.PROCESSING})


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """What is to become of a task under a lease.

    Attributes:
        state: `completed`, `failed` or `processing`; for `retry`, `failed`.
        data: The result or the progress as JSON; None where none was given.
        error: Why the attempt failed, shortened; empty unless it did.
        traceback: Where it failed, shortened; None if that was not said.
    """

    state: TaskState
    data: bytes | None = None
    error: str = ""
    traceback: str | None = None

    @classmethod
    def of(cls, status: TaskState | str, data: Any, *, max_bytes: int = MAX_TASK_BYTES) -> Self:
        """Check what `update_status` was given.

        Args:
            status: What the task is to be.
            data: The result, the error or the progress. An error is text or an object with `error` and `traceback`;
                of anything else, its JSON is the text.
            max_bytes: The most bytes that `data` may have as JSON.

        Raises:
            InvalidTask: `status` is none of the three, or `data` is not JSON or too large.
        """
        if status not in _UPDATES:
            raise InvalidTask(f"status={status!r:.80}: expected one of {', '.join(sorted(_UPDATES))}.")
        state = TaskState(status)
        encoded = None if data is None else encode_json(data, what=f"the data of {state!s}", max_bytes=max_bytes)
        if state is not TaskState.FAILED:
            return cls(state, encoded)
        if isinstance(data, Mapping) and "error" in data:
            traceback = data.get("traceback")
            return cls.failure(str(data["error"]), traceback=None if traceback is None else str(traceback))
        return cls.failure(data if isinstance(data, str) else (encoded or b"").decode())

    @classmethod
    def failure(cls, error: str, *, traceback: str | None = None) -> Self:
        """Return the update for an attempt that failed.

        Args:
            error: Why; where it is empty, a sentence that says so.
            traceback: Where, as text.
        """
        shown = _printable(error)[:MAX_ERROR_CHARACTERS] or "The worker gave no reason."
        return cls(
            TaskState.FAILED,
            error=shown,
            traceback=None if traceback is None else _printable(traceback)[-MAX_ERROR_CHARACTERS:],
        )


def _printable(text: str) -> str:
    # An error may quote anything, half a surrogate pair included, which no store that speaks UTF-8 would take.
    return text.encode("utf-8", "replace").decode("utf-8")
