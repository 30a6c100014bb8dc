"""Copies a database, all or nothing; imported by applications and by `indiaai db copy`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from indiaai_core.errors import BackendUnavailable, IndiaAIError
from indiaai_db.copying.plan import columns_of, plan_copy
from indiaai_db.copying.postgresql import PostgresqlWriter
from indiaai_db.copying.sqlite import SqliteWriter
from indiaai_db.errors import DatabaseError
from indiaai_db.service import DatabaseService

__all__ = ["TableCopied", "copy_database"]

BATCH_ROWS = 2_000
"""Rows that are read and written at a time: some milliseconds, between which the event loop serves others."""

_OF_A_VALUE = ("22", "23")
"""Classes of SQLSTATE: data that is out of its limits, and data that breaks a constraint."""

_WRITERS: dict[str, Callable[[AsyncConnection], Any]] = {"postgresql": PostgresqlWriter, "sqlite": SqliteWriter}


@dataclass(frozen=True, slots=True)
class TableCopied:
    """How far a copy has come.

    Attributes:
        table: The table that is being copied.
        rows: How many of its rows are.
        is_done: Whether these are all.
    """

    table: str
    rows: int
    is_done: bool


async def copy_database(
    source: DatabaseService, target: DatabaseService, *, on_progress: Callable[[TableCopied], None] | None = None
) -> dict[str, int]:
    """Copy every row of one database into another one of the same schema, whose tables are empty.

    It reads one snapshot of the source and writes one transaction of the target: either all of it is there at the end, or
    nothing. Whatever is written to the source meanwhile is not copied: stop the application before.

    Args:
        source: What to copy.
        target: Where to; migrated to the same revision.
        on_progress: Is called after each batch of a table's rows.

    Returns:
        The number of rows of each table.

    Raises:
        DatabaseError: The schemas differ, the target's tables are not empty, or it does not take a value; nothing was
            copied.
        BackendUnavailable: One of the two does not answer; nothing was copied.
    """
    tell = on_progress or (lambda _: None)
    counts: dict[str, int] = {}
    async with source.session(read_only=True) as reading, target.session() as writing:
        source_connection, target_connection = await reading.connection(), await writing.connection()
        tables = await plan_copy(source_connection, target_connection)
        writer = _WRITERS[target.dialect_name](target_connection)
        for table in tables:
            counts[table.name] = 0

            async def batches(table: Table = table) -> AsyncIterator[Sequence[Any]]:
                async for rows in _read(source_connection, table):
                    yield rows
                    counts[table.name] += len(rows)
                    tell(TableCopied(table.name, counts[table.name], is_done=False))

            try:
                await writer.write(table, batches())
            except Exception as error:
                raise _refused(table, error) from error
            tell(TableCopied(table.name, counts[table.name], is_done=True))
    return counts


async def _read(connection: AsyncConnection, table: Table) -> AsyncIterator[Sequence[Any]]:
    # By the names alone, not by the columns' types: what the driver gives is what the writer knows how to write.
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(column.name) for column in columns_of(table))
    result = await connection.stream(text(f"SELECT {names} FROM {quote.format_table(table)}"))  # noqa: S608 - names of the schema, quoted
    async for rows in result.partitions(BATCH_ROWS):
        yield rows


def _refused(table: Table, error: Exception) -> Exception:
    """Return what to raise for what went wrong with a table: a value's fault, or an outage."""
    if isinstance(error, IndiaAIError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return error  # of the second the session makes ours
    driver_error = getattr(error, "orig", None) or error
    state = getattr(driver_error, "sqlstate", None) or ""
    reason = str(driver_error).partition("\n")[0]
    if state.startswith(_OF_A_VALUE) or isinstance(error, (DBAPIError, ValueError, OverflowError)):
        where = getattr(driver_error, "context", None) or getattr(driver_error, "detail", None) or "in some row"
        return DatabaseError(
            f"The table {table.name!r} cannot be copied, and nothing was: {reason} ({where}). Mend the row in the source, and "
            "copy again."
        )
    if state or isinstance(error, OSError):
        return BackendUnavailable(f"The copy broke off at the table {table.name!r}, and nothing was copied: {reason}")
    return error
