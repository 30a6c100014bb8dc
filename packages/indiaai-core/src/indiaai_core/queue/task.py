"""What travels through a queue: tasks, their states and their data; imported by the interface and by every queue backend."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from indiaai_core.errors import InvalidTask

__all__ = [
    "CARRIER_KEY",
    "DEFAULT_MAX_ATTEMPTS",
    "FINAL_STATES",
    "MAX_DELAY_SECONDS",
    "MAX_JSON_DEPTH",
    "MAX_TASK_BYTES",
    "Counts",
    "NewTask",
    "Task",
    "TaskState",
    "TaskStatus",
    "check_delay",
    "check_limit",
    "encode_json",
]

CARRIER_KEY = "indiaai:context"
"""A name in a task's data that is not the application's: what wrappers send along, such as a trace. Handlers do not get it."""

DEFAULT_MAX_ATTEMPTS = 5
"""How often a task is tried where neither `enqueue` nor its handler says."""

MAX_TASK_BYTES = 256 * 1024
"""The most bytes of a task's data, a result or a progress report as JSON in UTF-8; a backend's setting may say less."""

MAX_DELAY_SECONDS = 366 * 24 * 3600
"""The longest delay of a task."""

MAX_JSON_DEPTH = 100
"""The deepest that objects and arrays may nest: within what every JSON reader takes, from every depth of its own stack."""

# Made once: json.dumps with these options makes an encoder a call, which is a third of what a small task costs.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SCALARS = frozenset({str, int, float, bool, type(None)})


class TaskState(StrEnum):
    """Where a task is in its life.

                             enqueue
                                │
                                ▼        dequeue                   completed
          ┌─────────────────► pending ───────────────► processing ───────────► completed
          │                    │   ▲                    │  │   │
          │             cancel │   └────────────────────┘  │   │ failed;
          │                    │     retry, release, or    │   │ a retry or a lapse of the last attempt
          │                    ▼     the lease ran out     │   └─────────────► failed
          │                cancelled ◄─────────────────────┘                     │
          │                    │                cancel                           │
          └────────────────────┴─────────────────── requeue ─────────────────────┘

    A task that waits for its delay is pending. A failed task whose record is kept is a dead letter.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})
"""The states that a task leaves by `requeue` only."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that is to be enqueued; what `enqueue_many` takes, and what `enqueue` makes of its arguments.

    Making one checks it, so that a bad task is refused before anything is touched.

    Attributes:
        name: What the handler is registered under: 1 to 200 printable characters.
        data: A JSON object; at most 256 KiB as JSON.
        delay: Seconds before it may be delivered, 0 to 366 days.
        priority: -100 to 100; a higher one is delivered sooner, equal ones in the order they came.
        max_attempts: How often it is tried before it becomes a dead letter, 1 to 1,000; None leaves it to the handler,
            and to `DEFAULT_MAX_ATTEMPTS` where that says nothing either.
        dedupe_key: While a task with this key is pending or processing, enqueuing another gives that one's id; 1 to 200
            characters.

    Raises:
        InvalidTask: One of these is out of its limits.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0
    priority: int = 0
    max_attempts: int | None = None
    dedupe_key: str | None = None

    def __post_init__(self) -> None:
        """Check every field but the data, which `encode_json` checks when it writes it."""
        _require_text("task_name", self.name)
        if self.dedupe_key is not None:
            _require_text("dedupe_key", self.dedupe_key)
        if not isinstance(self.data, Mapping):
            raise InvalidTask(
                f"task_data of {self.name!r} is {type(self.data).__name__}: expected a JSON object (a dict) or None."
            )
        check_delay(self.delay)
        _require_integer("priority", self.priority, -100, 100)
        if self.max_attempts is not None:
            _require_integer("max_attempts", self.max_attempts, 1, 1000)

    def encoded(self, max_bytes: int = MAX_TASK_BYTES) -> bytes:
        """Return the data as JSON in UTF-8.

        Raises:
            InvalidTask: It is not JSON, or longer than `max_bytes`.
        """
        return encode_json(dict(self.data), what=f"task_data of {self.name!r}", max_bytes=max_bytes)


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery of a task to one worker, which holds its lease.

    Attributes:
        id: The task's id, the one `enqueue` gave.
        name: What its handler is registered under.
        data: The JSON object it was enqueued with.
        attempt: 1 at the first delivery, one more at each after that.
        max_attempts: What it was enqueued with; None leaves it to the handler.
        priority: What it was enqueued with.
        enqueued_at: When the queue got it; aware, UTC.
        lease_expires_at: Until when this delivery is the only one, unless it is renewed; aware, UTC.
        lease: The lease's token. Settling by a `Task` settles under this lease and no other.
        dedupe_key: What it was enqueued with.
    """

    id: str
    name: str
    data: dict[str, Any]
    attempt: int
    max_attempts: int | None
    priority: int
    enqueued_at: datetime
    lease_expires_at: datetime
    lease: str
    dedupe_key: str | None = None

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt makes the task a dead letter."""
        return self.attempt >= (self.max_attempts or DEFAULT_MAX_ATTEMPTS)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What the queue knows about a task.

    Attributes:
        id: The task's id.
        name: What its handler is registered under.
        state: Where it is in its life.
        attempts: How often it was delivered.
        enqueued_at: When the queue got it.
        started_at: When its latest delivery began; None before the first.
        finished_at: When it came to a final state; None before.
        progress: What the worker last reported with `processing`; None before.
        result: What it was completed with; None before.
        error: Why the latest failed attempt failed, kept while the task is tried again; None if none has, or the task
            was completed or requeued since.
        traceback: Where that attempt failed, as text, if the worker said.
    """

    id: str
    name: str
    state: TaskState
    attempts: int
    enqueued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Any = None
    result: Any = None
    error: str | None = None
    traceback: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the task has come to an end: completed, failed or cancelled."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks a queue holds.

    Attributes:
        pending: Tasks that wait for a worker now.
        delayed: Tasks that wait for their time; they are pending to `get_status`.
        processing: Tasks under a lease.
        dead: Dead letters: failed tasks whose record is kept.
    """

    pending: int = 0
    delayed: int = 0
    processing: int = 0
    dead: int = 0


def encode_json(value: Any, *, what: str, max_bytes: int = MAX_TASK_BYTES) -> bytes:
    """Return a value as strict JSON in UTF-8: no NaN, no infinity, string keys only, at most 100 levels deep.

    Args:
        value: What is to be written.
        what: What it is, for the error.
        max_bytes: The most bytes it may have.

    Raises:
        InvalidTask: It is not JSON, nests too deep, or is longer than `max_bytes`.
    """
    _require_json_shape(value, what, max_bytes)
    try:
        text = _ENCODER.encode(value).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"{what} is not JSON: {error}.") from error
    if len(text) > max_bytes:
        raise _too_large(what, f"{len(text)} bytes", max_bytes)
    return text


def check_delay(delay: float) -> None:
    """Check a delay.

    Raises:
        InvalidTask: It is not a number of seconds from 0 to 366 days.
    """
    _require_number("delay", delay, 0, MAX_DELAY_SECONDS)


def check_limit(limit: object) -> None:
    """Check how many tasks were asked for.

    Raises:
        InvalidTask: It is not a whole number of at least 1.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidTask(f"limit={limit!r}: expected a whole number of at least 1.")


def _require_json_shape(value: Any, what: str, max_bytes: int) -> None:
    # json.dumps would quietly turn a key 1 into "1", and what comes back would not be what was sent; and it would follow
    # a list that holds itself a million times over. Level by level, the depth is known and no stack is used.
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        deeper: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                _require_json_keys(container, what)
                values: Any = container.values()
            elif isinstance(container, list | tuple):
                values = container
            else:
                continue
            if len(container) + len(deeper) > max_bytes:
                raise _too_large(what, f"more than {max_bytes} values", max_bytes)
            deeper += [inner for inner in values if type(inner) not in _SCALARS]
        if not deeper:
            return
        level = deeper
    raise InvalidTask(
        f"{what} is not JSON that a queue can hold: it nests more than {MAX_JSON_DEPTH} levels deep, or holds itself."
    )


def _require_json_keys(mapping: Mapping[Any, Any], what: str) -> None:
    for key in mapping:
        if not isinstance(key, str):
            raise InvalidTask(f"{what} is not JSON: the key {key!r:.80} is not a string.")


def _too_large(what: str, size: str, max_bytes: int) -> InvalidTask:
    return InvalidTask(
        f"{what} has {size} as JSON; the limit is {max_bytes} bytes. "
        f"Store what is large with the storage service and queue its key."
    )


def _require_text(what: str, value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise InvalidTask(f"{what}={value!r:.80}: expected 1 to 200 printable characters.")


def _require_number(what: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or not least <= value <= most:
        raise InvalidTask(f"{what}={value!r}: expected a number from {least} to {most}.")


def _require_integer(what: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidTask(f"{what}={value!r}: expected a whole number from {least} to {most}.")
