"""Tasks as they lie in Redis, to and from the interface's types; imported by the service.

The layout is a format with a version of its own: `docs/reference/formats/queue-redis.md`. msgspec reads and writes it; of what
reads JSON quickly it alone keeps whole numbers of more than 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from indiaai_core.queue import NewTask, StatusUpdate, Task, TaskState, TaskStatus

__all__ = [
    "UNREADABLE",
    "decode_status",
    "decode_tasks",
    "encode_call",
    "encode_failure",
    "encode_result",
    "encode_task",
    "encode_token",
]

UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a record that is not of this format may raise, wherever its reader stumbles."""

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode
_read_object = msgspec.json.Decoder(dict[str, Any]).decode
_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, bool, type(None)})


def encode_task(task: NewTask, *, max_bytes: int) -> bytes:
    """Return a task as it goes to the server: its record but for `[` and the time, which is the server's to give.

    What has a delay, a priority or a dedupe key has a line in front that says so.

    Raises:
        InvalidTask: Its data is no JSON, or too long.
    """
    head = _head(task.name, task.priority, task.max_attempts, task.dedupe_key)
    data = _encode_object(task.data, max_bytes) or task.encoded(max_bytes)
    if not task.delay and not task.priority and task.dedupe_key is None:
        return head + data
    first = f"{math.ceil(task.delay * 1000)} {task.priority} {task.dedupe_key or ''}\n"
    return first.encode() + head + data


def encode_call(
    name: str,
    data: Mapping[str, Any],
    *,
    delay: float,
    priority: int,
    max_attempts: int | None,
    dedupe_key: str | None,
    max_bytes: int,
) -> bytes:
    """Return a task that one call of `enqueue` asks for, as `encode_task` does.

    Most tasks of an application are alike but for their data; what has been found good once need not be checked again.

    Raises:
        InvalidTask: An argument is out of its limits.
    """
    if type(delay) is int and delay == 0 and type(priority) is int and priority == 0 and dedupe_key is None:
        try:
            head = _checked_head(name, max_attempts)
        except TypeError:  # one of them is no key of a cache, and no good argument either: that is said below
            head = b""
        if head and (text := _encode_object(data, max_bytes)):
            return head + text
    return encode_task(NewTask(name, data, delay, priority, max_attempts, dedupe_key), max_bytes=max_bytes)


def encode_result(data: Any, *, max_bytes: int) -> bytes:
    """Return a result as JSON if it is one of the plain ones that most are, else nothing: then it is to be looked at."""
    return _encode_plain(data, max_bytes) if type(data) in _PLAIN else _encode_object(data, max_bytes)


def encode_token(token: str) -> bytes:
    """Return an id or a lease as it goes to the server; one that has no form in UTF-8 is one that no task has."""
    return token.encode("utf-8", "surrogatepass")


def encode_failure(update: StatusUpdate) -> bytes:
    """Return error and traceback as JSON, a line each."""
    return _write(update.error) + b"\n" + _write(update.traceback)


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


@lru_cache(maxsize=1024, typed=True)  # by type as well: to a cache True is 1, and to a queue it is a mistake
def _checked_head(name: str, max_attempts: int | None) -> bytes:
    NewTask(name, {}, 0, 0, max_attempts)
    return _head(name, 0, max_attempts, None)


def _encode_object(data: Any, max_bytes: int) -> bytes:
    """Return a flat object as JSON, or nothing if it is not flat, or not JSON, or too long.

    What is most often queued is a flat object, which one call writes. It would write much else that is not JSON, a NaN, a
    key 1 or a date, so anything but plain values has to go the way that looks at everything and says what is wrong.
    """
    if type(data) is not dict or not _PLAIN.issuperset(map(type, data.values())) or not _TEXT.issuperset(map(type, data)):
        return b""
    return _encode_plain(data, max_bytes)


def _encode_plain(data: Any, max_bytes: int) -> bytes:
    try:
        text = _write(data)
    except (ValueError, TypeError, OverflowError):  # a number of more than 64 bits, half a surrogate pair
        return b""
    return text if len(text) <= max_bytes else b""


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
