"""The tables of the outbox, in the metadata of `indiaai_db.Base`; imported by the outbox."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

from indiaai_core.queue import NewTask
from indiaai_db.models import Base

__all__ = ["OutboxLease", "OutboxMessage", "database_seconds"]


class OutboxMessage(Base):
    """A task that its transaction wants enqueued; the relay takes it out when the queue has it.

    Attributes:
        id: The order in which messages are relayed that are committed by then. Whoever commits late may have a lower one
            than what is gone already, so no relay may begin behind the last one that it saw.
        token: Names the message for good: what the queue knows it by while it is relayed.
        data: The task's data as JSON.
        due_at: When it may be delivered; None: at once.
        error: Why the queue will never take it. Such a message is kept for a person to look at.
    """

    __tablename__ = "indiaai_outbox"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    token: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(200))
    data: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime | None]
    priority: Mapped[int]
    max_attempts: Mapped[int | None]
    dedupe_key: Mapped[str | None] = mapped_column(String(200))
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_indiaai_outbox_error", "error"),)

    @staticmethod
    def row_of(task: NewTask) -> dict[str, Any]:
        """Return a new message's columns.

        Raises:
            InvalidTask: The data is not JSON, or too large.
        """
        return {
            "token": uuid.uuid4().hex,
            "name": task.name,
            "data": task.encoded().decode(),
            "due_at": datetime.now(UTC) + timedelta(seconds=task.delay) if task.delay else None,
            "priority": task.priority,
            "max_attempts": task.max_attempts,
            "dedupe_key": task.dedupe_key,
        }


class OutboxLease(Base):
    """Which relay is at work: one row, so that messages leave in their order although many relays may run.

    Attributes:
        expires_at: Until when the holder is taken for alive; seconds since 1970 by the database's clock.
    """

    __tablename__ = "indiaai_outbox_lease"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[float] = mapped_column(Float(53))


class database_seconds(FunctionElement[float]):  # noqa: N801 - written like a function of SQL, which it is
    """Seconds since 1970 by the database's clock: relays on several machines must not judge a lease by several clocks."""

    type = Float()
    inherit_cache = True
    name = "database_seconds"


@compiles(database_seconds)
def _standard(*_: object, **__: object) -> str:
    return "EXTRACT(EPOCH FROM CURRENT_TIMESTAMP)"


@compiles(database_seconds, "sqlite")
def _sqlite(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
