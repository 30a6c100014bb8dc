"""Tasks as they lie in Redis, to and from the interface's types; imported by the service.

The layout is a format with a version of its own: `docs/reference/formats/queue-redis.md`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from indiaai_core.queue import NewTask, StatusUpdate, Task, TaskState, TaskStatus

__all__ = ["UNREADABLE", "decode_status", "decode_task", "encode_failure", "encode_task"]

UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a record that is not of this format may raise, wherever its reader stumbles."""


def encode_task(task: NewTask, *, max_bytes: int) -> bytes:
    """Return a task's record but for `[` and the time, which is the server's to give; raises `InvalidTask`."""
    head = _json([task.priority, task.max_attempts, task.name, task.dedupe_key])
    return head[1:] + b"\n" + task.encoded(max_bytes)


def encode_failure(update: StatusUpdate) -> tuple[bytes, bytes]:
    """Return error and traceback as JSON."""
    return _json(update.error), _json(update.traceback)


def decode_task(delivery: Sequence[Any], *, expires: int) -> Task:
    """Make a task of id, attempt, record and lease; raises one of `UNREADABLE`."""
    identifier, attempt, record, lease = delivery
    head, _, data = record.partition(b"\n")
    enqueued, priority, max_attempts, name, dedupe_key = json.loads(head)
    return Task(
        id=identifier.decode(),
        name=name,
        data=dict(json.loads(data)),
        attempt=attempt,
        max_attempts=max_attempts,
        priority=priority,
        enqueued_at=_instant(enqueued),
        lease_expires_at=_instant(expires),
        lease=lease.decode(),
        dedupe_key=dedupe_key,
    )


def decode_status(found: Sequence[Any]) -> TaskStatus:
    """Make a task's status of its id, its record's first line, and its state's names and values in turn."""
    identifier, head, fields = found
    try:
        enqueued, _, _, name, _ = json.loads(head)
        enqueued_at = _instant(enqueued)
    except UNREADABLE:  # a dead letter because of that; it must not keep the others from being listed
        name, enqueued_at = "?", _instant(0)
    state = dict(zip(fields[::2], fields[1::2], strict=True))
    return TaskStatus(
        id=identifier.decode(),
        name=name,
        state=TaskState(state.get(b"state", b"pending").decode()),
        attempts=int(state.get(b"attempts", 0)),
        enqueued_at=enqueued_at,
        started_at=_instant(int(state[b"started"])) if b"started" in state else None,
        finished_at=_instant(int(state[b"finished"])) if b"finished" in state else None,
        **{name: json.loads(state.get(name.encode(), b"null")) for name in ("progress", "result", "error", "traceback")},
    )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
