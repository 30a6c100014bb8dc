"""The tables; imported by whatever reads or writes them, and by the migrations."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from indiaai_db import Base, utc_now

__all__ = ["Document", "DocumentState"]


class DocumentState(StrEnum):
    """Where a document is.

        receiving ─► pending ─► completed
                            └─► failed

    `receiving` is written before the first byte is stored. So whatever happens in between, the row tells what to clean up.
    """

    RECEIVING = "receiving"
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class Document(Base):
    """A file that was sent in, and what was found in it."""

    __tablename__ = "documents"
    __table_args__ = (Index(None, "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid4().hex)
    name: Mapped[str] = mapped_column(String(200))
    media_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[DocumentState] = mapped_column(default=DocumentState.RECEIVING, index=True)
    # What the sender was told, and the task that works on it now: they differ once a lost task was queued again.
    job_id: Mapped[str | None] = mapped_column(String(200), index=True)
    task_id: Mapped[str | None] = mapped_column(String(200))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    text: Mapped[str] = mapped_column(Text, default="", deferred=True)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def key(self) -> str:
        """The key of the file in the storage: nobody can guess it, and nothing a sender wrote is in it."""
        return f"documents/{self.id}"

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state in (DocumentState.COMPLETED, DocumentState.FAILED)
