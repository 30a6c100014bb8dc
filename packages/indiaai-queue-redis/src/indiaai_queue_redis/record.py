"""Tasks as they lie in Redis, to and from the interface's types; imported by the service.

The layout is a format with a version of its own: `docs/reference/formats/queue-redis.md`. msgspec reads and writes it; of what
reads JSON quickly it alone keeps whole numbers of more than 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from indiaai_core.queue import NewTask, StatusUpdate, Task, TaskState, TaskStatus

__all__ = ["UNREADABLE", "Entry", "decode_status", "decode_tasks", "encode_failure", "encode_task"]

UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a record that is not of this format may raise, wherever its reader stumbles."""

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode
_read_object = msgspec.json.Decoder(dict[str, Any]).decode
_PLAIN = frozenset({str, int, bool, type(None)})


class Entry(NamedTuple):
    """A task that is to be queued, as the script takes it, but for its id."""

    delay_ms: int
    priority: int
    dedupe_key: str
    record: bytes


def encode_task(task: NewTask, *, max_bytes: int) -> Entry:
    """Return a task as it goes to the server; its record lacks `[` and the time, which is the server's to give.

    Raises:
        InvalidTask: Its data is no JSON, or too long.
    """
    head = _head(task.name, task.priority, task.max_attempts, task.dedupe_key)
    delay_ms = math.ceil(task.delay * 1000) if task.delay else 0
    return Entry(delay_ms, task.priority, task.dedupe_key or "", head + _encode_data(task, max_bytes))


def encode_failure(update: StatusUpdate) -> tuple[bytes, bytes]:
    """Return error and traceback as JSON."""
    return _write(update.error), _write(update.traceback)


def decode_tasks(deliveries: Iterable[tuple[bytes, int, bytes]], *, token: str, expires: int) -> list[Task | Exception]:
    """Make tasks of ids, attempts and records; what is unreadable is one of `UNREADABLE` in the place of the task."""
    tasks: list[Task | Exception] = []
    lease_expires_at = _instant(expires)
    for number, (identifier, attempt, record) in enumerate(deliveries, 1):
        try:
            head, _, data = record.partition(b"\n")
            name, enqueued_at, priority, max_attempts, dedupe_key = _read_head(head)
            tasks.append(
                Task(
                    identifier.decode(),
                    name,
                    _read_object(data),
                    attempt,
                    max_attempts,
                    priority,
                    enqueued_at,
                    lease_expires_at,
                    f"{token}.{number}",
                    dedupe_key,
                )
            )
        except UNREADABLE as error:
            tasks.append(error)
    return tasks


def decode_status(found: Sequence[Any]) -> TaskStatus:
    """Make a task's status of its id and what is kept of it: its state, its head, and what else was told, line by line."""
    identifier, text = found[:2]
    first, head, *told = text.split(b"\n", 5)
    state, attempts, started, _, *finished = _read(first)
    try:
        name, enqueued_at, *_ = _read_head(head)
    except UNREADABLE:  # a dead letter because of that; it must not keep the others from being listed
        name, enqueued_at = "?", _instant(0)
    progress, error, traceback, result = (_read(line) if line else None for line in [*told, b"", b"", b"", b""][:4])
    return TaskStatus(
        id=identifier.decode(),
        name=name,
        state=TaskState(state),
        attempts=attempts,
        enqueued_at=enqueued_at,
        started_at=None if started is None else _instant(started),
        finished_at=_instant(finished[0]) if finished else None,
        progress=progress,
        result=result,
        error=error,
        traceback=traceback,
    )


@lru_cache(maxsize=1024)
def _head(name: str, priority: int, max_attempts: int | None, dedupe_key: str | None) -> bytes:
    """Return the first line but for `[` and the time; the last fields are left out while they say nothing."""
    fields = [name, priority, max_attempts, dedupe_key]
    for empty in (None, None, 0):
        if fields[-1] != empty:
            break
        fields.pop()
    return _write(fields)[1:] + b"\n"


def _encode_data(task: NewTask, max_bytes: int) -> bytes:
    # What is most often queued is a flat object, which one call writes. It would write much else that is not JSON, a NaN or
    # a date, so anything but plain values goes the way that looks at everything and says what is wrong.
    data: Mapping[str, Any] = task.data
    if type(data) is dict and _PLAIN.issuperset(map(type, data.values())) and all(type(key) is str for key in data):
        try:
            text = _write(data)
        except (ValueError, TypeError, OverflowError):  # a number of more than 64 bits, half a surrogate pair
            return task.encoded(max_bytes)
        if len(text) <= max_bytes:
            return text
    return task.encoded(max_bytes)


@lru_cache(maxsize=256)
def _read_head(head: bytes) -> tuple[str, datetime, int, int | None, str | None]:
    # Tasks that were queued in one call have one head.
    fields = _read(head)
    enqueued, name, priority, max_attempts, dedupe_key = fields + [0, None, None][len(fields) - 2 :]
    if not isinstance(name, str):
        raise TypeError("the task's name is not text")
    return name, _instant(enqueued), priority, max_attempts, dedupe_key


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
