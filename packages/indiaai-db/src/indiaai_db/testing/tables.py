"""The tables that the promises are tried on; imported by the suite alone."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from indiaai_db.models import NAMING_CONVENTION, Base
from indiaai_db.service import DatabaseService
from indiaai_db.types import PortableList

__all__ = ["Account", "Colour", "Entry", "Everything", "Tables", "create_tables", "read_balance"]


class Colour(enum.Enum):
    """An enumeration whose values differ from its names."""

    RED = "red"
    DEEP_BLUE = "deep-blue"


class Tables(Base):
    """The root of the suite's models, with metadata of its own."""

    __abstract__ = True
    metadata = sqlalchemy.MetaData(naming_convention=NAMING_CONVENTION)


class Account(Tables):
    """Something with a balance, which transactions fight over."""

    __tablename__ = "conformance_account"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column(default=0)


class Entry(Tables):
    """Something that belongs to an account."""

    __tablename__ = "conformance_entry"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    account_id: Mapped[int] = mapped_column(ForeignKey("conformance_account.id"))


class Everything(Tables):
    """A column of each portable type."""

    __tablename__ = "conformance_everything"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    made: Mapped[datetime | None]
    amount: Mapped[Decimal | None]
    extra: Mapped[dict[str, Any] | None]
    items: Mapped[list[Any] | None]
    colour: Mapped[Colour | None]
    words: Mapped[list[str] | None]
    counts: Mapped[list[int] | None]
    ratios: Mapped[list[float] | None]
    flags: Mapped[list[bool] | None]
    instants: Mapped[list[datetime] | None]
    amounts: Mapped[list[Decimal] | None]
    keys: Mapped[list[uuid.UUID] | None]
    colours: Mapped[list[Colour] | None] = mapped_column(PortableList(Colour))


async def create_tables(service: DatabaseService) -> None:
    """Make the tables, and one account with the id 1."""
    async with service.engine.begin() as connection:
        await connection.run_sync(Tables.metadata.create_all)
    async with service.session() as session:
        session.add(Account(id=1, balance=0))


async def read_balance(service: DatabaseService, account_id: int = 1) -> int | None:
    """Return what is committed, or None if there is no such account."""
    async with service.session(read_only=True) as session:
        account = await session.get(Account, account_id)
        return None if account is None else account.balance
