"""A table on its way from SQLite to PostgreSQL; imported by `database`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any

import sqlalchemy
from sqlalchemy import insert, select
from sqlalchemy.orm import Mapped, mapped_column

from indiaai_db import Base, DatabaseService
from indiaai_db.copying import copy_database
from indiaai_db.models import NAMING_CONVENTION

__all__ = ["WAYS", "fill"]

BATCH = 5000


class _Tables(Base):
    __abstract__ = True
    metadata = sqlalchemy.MetaData(naming_convention=NAMING_CONVENTION)


class Reading(_Tables):
    """Eight columns of the kinds that applications have."""

    __tablename__ = "bench_reading"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID]
    name: Mapped[str]
    made: Mapped[datetime]
    amount: Mapped[Decimal]
    extra: Mapped[dict[str, Any]]
    is_open: Mapped[bool]
    ratio: Mapped[float]


async def fill(source: DatabaseService, rows: int) -> None:
    """Make the table in the source, with rows."""
    await _make(source)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for first in range(0, rows, BATCH):
        async with source.session() as session:
            made = [
                {
                    "id": number + 1,
                    "token": uuid.UUID(int=number),
                    "name": f"reading {number} of a गेज",
                    "made": start + timedelta(seconds=number),
                    "amount": Decimal(number) / 100,
                    "extra": {"station": number % 97, "kind": "level"},
                    "is_open": number % 2 == 0,
                    "ratio": number / 7,
                }
                for number in range(first, min(first + BATCH, rows))
            ]
            await session.execute(insert(Reading), made)


async def _make(service: DatabaseService) -> None:
    async with service.engine.begin() as connection:
        await connection.run_sync(_Tables.metadata.drop_all)
        await connection.run_sync(_Tables.metadata.create_all)


async def _by_copy(source: DatabaseService, target: DatabaseService) -> int:
    return sum((await copy_database(source, target)).values())


async def _by_inserts(source: DatabaseService, target: DatabaseService) -> int:
    count = 0
    async with source.session(read_only=True) as reading, target.session() as writing:
        result = await reading.stream(select(Reading.__table__))
        async for rows in result.mappings().partitions(BATCH):
            await writing.execute(insert(Reading), [dict(row) for row in rows])
            count += len(rows)
    return count


async def _measure(way: Any, source: DatabaseService, target: DatabaseService) -> dict[str, float]:
    await _make(target)
    begun = perf_counter()
    count = await way(source, target)
    return {"rate": count / (perf_counter() - begun)}


WAYS = {
    "indiaai, copy_database": lambda source, target: _measure(_by_copy, source, target),
    "SQLAlchemy, insert many": lambda source, target: _measure(_by_inserts, source, target),
}
"""What each contender does, from one service to another."""
