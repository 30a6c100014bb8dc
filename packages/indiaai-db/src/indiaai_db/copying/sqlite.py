"""Writes rows into SQLite; imported by the copy."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indiaai_db.copying.plan import columns_of

__all__ = ["SqliteWriter"]


class SqliteWriter:
    """Writes into one transaction, each value as SQLAlchemy's types of this dialect would."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Hold the connection, whose transaction has begun."""
        self._connection = connection

    async def write(self, table: Table, batches: AsyncIterator[Sequence[Any]]) -> None:
        """Write a table's rows; references are checked at the end, for rows of one table may refer to each other."""
        await self._connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        quote = self._connection.dialect.identifier_preparer
        names = ", ".join(quote.quote(column.name) for column in columns_of(table))
        places = ", ".join("?" * len(columns_of(table)))
        insert = f"INSERT INTO {quote.format_table(table)} ({names}) VALUES ({places})"  # noqa: S608 - names of the schema, quoted
        async for rows in batches:
            await self._connection.exec_driver_sql(insert, [tuple(map(_encode, row)) for row in rows])


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        instant = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return instant.isoformat(" ", "microseconds")  # and no strftime, which writes the year 33 with two digits
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat() if isinstance(value, date) else value
