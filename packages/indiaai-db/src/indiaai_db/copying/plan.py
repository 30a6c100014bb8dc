"""What is to be copied, and in which order; imported by the copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, MetaData, Table, exists, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import CircularDependencyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import sort_tables_and_constraints

from indiaai_db.errors import DatabaseError

__all__ = ["columns_of", "plan_copy"]

REVISIONS = "alembic_version"
"""Alembic's table: it is compared, not copied."""


async def plan_copy(source: AsyncConnection, target: AsyncConnection) -> list[Table]:
    """Return the target's tables, those that others refer to first.

    Raises:
        DatabaseError: The schemas differ, a table of the target holds rows, or tables refer to each other in a circle.
    """
    source_columns = await source.run_sync(_columns)
    metadata = await target.run_sync(_reflect)
    revisions = [await connection.run_sync(_revisions) for connection in (source, target)]
    if revisions[0] != revisions[1]:
        first, second = (", ".join(sorted(found)) or "none" for found in revisions)
        raise DatabaseError(
            f"The source is at the revision {first} and the target at {second}. Migrate both to the same one first."
        )
    _compare(source_columns, metadata)
    tables = [table for table in _in_order(metadata) if table.name != REVISIONS]
    for table in tables:
        if await target.scalar(select(exists(select(1).select_from(table)))):
            raise DatabaseError(f"The table {table.name!r} of the target holds rows already. Copy into an empty database.")
    return tables


def _reflect(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


def columns_of(table: Table) -> list[Column[Any]]:
    """Return the columns that hold values of their own; what the database computes it computes again."""
    return [column for column in table.columns if column.computed is None]


def _columns(connection: Connection) -> dict[str, set[str]]:
    inspector = inspect(connection)
    return {table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()}


def _revisions(connection: Connection) -> set[str]:
    if REVISIONS not in inspect(connection).get_table_names():
        return set()
    return {row[0] for row in connection.exec_driver_sql(f"SELECT version_num FROM {REVISIONS}")}  # noqa: S608 - a constant


def _compare(source: dict[str, set[str]], target: MetaData) -> None:
    known = {name: {column.name for column in table.columns} for name, table in target.tables.items()}
    differences = [f"the table {name} is only in the {side}" for side, name in _unpaired(source, known)]
    for name in sorted(source.keys() & known.keys()):
        differences += [
            f"the column {name}.{column} is only in the {side}" for side, column in _unpaired(source[name], known[name])
        ]
    if differences:
        raise DatabaseError(f"The two schemas differ: {'; '.join(differences)}. Migrate both to the same revision.")


def _unpaired(source: Iterable[str], target: Iterable[str]) -> list[tuple[str, str]]:
    only_source, only_target = sorted({*source} - {*target}), sorted({*target} - {*source})
    return [*(("source", name) for name in only_source), *(("target", name) for name in only_target)]


def _in_order(metadata: MetaData) -> list[Table]:
    try:
        ordered = sort_tables_and_constraints(metadata.tables.values())  # type: ignore[no-untyped-call]  # SQLAlchemy's is
    except CircularDependencyError as error:
        raise DatabaseError(f"Tables refer to each other in a circle, and none can be first: {error}") from error
    tables = [table for table, _ in ordered if table is not None]
    late = {constraint.table.name for table, constraints in ordered if table is None for constraint in constraints}
    if late:
        raise DatabaseError(
            f"The tables {', '.join(sorted(late))} refer to each other in a circle, and none can be first. Drop one of the "
            "foreign keys, copy, and make it again."
        )
    return tables
