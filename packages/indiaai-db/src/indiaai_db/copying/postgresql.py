"""Writes rows into PostgreSQL by COPY; imported by the copy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indiaai_db.copying.plan import columns_of

__all__ = ["PostgresqlWriter"]

_NUMBERS = {int, float}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PostgresqlWriter:
    """Writes into one transaction, in COPY's text format: the server reads each value as its column's type."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Hold the connection, whose transaction has begun."""
        self._connection = connection

    async def write(self, table: Table, batches: AsyncIterator[Sequence[Any]]) -> None:
        """Write a table's rows in one COPY, which checks references at its end."""
        encoders = [_encoder(column) for column in columns_of(table)]
        names = [column.name for column in columns_of(table)]

        async def lines() -> AsyncIterator[bytes]:
            async for rows in batches:
                columns = map(_encode_column, encoders, zip(*rows, strict=True))
                yield ("\n".join(map("\t".join, zip(*columns, strict=True))) + "\n").encode()

        driver: Any = (await self._connection.get_raw_connection()).driver_connection
        await driver.copy_to_table(table.name, source=lines(), columns=names, schema_name=table.schema)
        await self._number_on(table)

    async def _number_on(self, table: Table) -> None:
        """Let the sequences of the table go on where its rows end."""
        quote = self._connection.dialect.identifier_preparer
        name = quote.format_table(table)
        for column in table.primary_key.columns:
            sequence = await self._connection.scalar(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": name, "column": column.name}
            )
            if sequence:
                largest = f"(SELECT max({quote.quote(column.name)}) FROM {name})"  # noqa: S608 - names of the schema, quoted
                await self._connection.execute(
                    text(f"SELECT setval(:sequence, coalesce({largest}, 1), {largest} IS NOT NULL)"), {"sequence": sequence}
                )


def _encoder(column: Column[Any]) -> Callable[[Any], str]:
    kind = column.type
    if getattr(kind, "timezone", False):
        return _instant
    if "JSON" in kind.__class__.__name__.upper():
        return _json
    return _plain


def _encode_column(encode: Callable[[Any], str], values: Sequence[Any]) -> Iterable[str]:
    # By columns, whose values are mostly of one type: to ask each of a million values what it is takes longer than to write it.
    types = set(map(type, values))
    if types <= _NUMBERS:
        return map(str, values)
    if types == {str}:
        text = "".join(values)
        if "\\" not in text and text.isprintable():
            return [f"{value}+00" for value in values] if encode is _instant else values
    return map(encode, values)


def _plain(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return str(value)  # numbers, booleans, dates and UUIDs, all of which PostgreSQL reads as Python writes them


def _instant(value: Any) -> str:
    # SQLite keeps instants in UTC, as text without a zone.
    if isinstance(value, str):
        return f"{_plain(value)}+00"
    return _plain(value.replace(tzinfo=UTC) if isinstance(value, datetime) and not value.tzinfo else value)


def _json(value: Any) -> str:
    return _plain(json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value)
