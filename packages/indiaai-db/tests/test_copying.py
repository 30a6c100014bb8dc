"""What the copy of a database promises: every value arrives, from SQLite to PostgreSQL and back, or nothing does."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import Computed, ForeignKey, LargeBinary, select, text
from sqlalchemy.orm import Mapped, mapped_column
from typer.testing import CliRunner

from indiaai_core import Platform
from indiaai_core.platform import use_platform
from indiaai_db import Base, DatabaseError, DatabaseService
from indiaai_db.commands import build_commands
from indiaai_db.copying import TableCopied, copy, copy_database
from indiaai_db.models import NAMING_CONVENTION
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing.tables import Colour

pytestmark = pytest.mark.anyio


class Copied(Base):
    """The root of models of our own."""

    __abstract__ = True
    metadata = sqlalchemy.MetaData(naming_convention=NAMING_CONVENTION)


class Child(Copied):
    """Something whose table comes before its parent's in the alphabet."""

    __tablename__ = "a child"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))


class Parent(Copied):
    """A column of each kind, and a reference within the table."""

    __tablename__ = "parent"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id"))
    text: Mapped[str | None]
    made: Mapped[datetime | None]
    day: Mapped[date | None]
    amount: Mapped[Decimal | None]
    ratio: Mapped[float | None]
    is_open: Mapped[bool | None] = mapped_column("order")
    extra: Mapped[dict[str, Any] | None]
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    colour: Mapped[Colour | None]
    double: Mapped[int] = mapped_column(Computed("id * 2"))


ROWS: list[dict[str, Any]] = [
    {
        "text": "tab\tnew\nline\r\\N \\. \\\\ 'quote' \"double\" | , ;",
        "made": datetime(2026, 11, 23, 23, 59, 59, 999999, tzinfo=UTC),
        "day": date(2026, 2, 28),
        "amount": Decimal("9999999999999.99"),
        "ratio": 1e-300,
        "is_open": True,
        "extra": {"नाम": ["बिल\\", None, 1.5, {"tab": "\t"}]},
        "content": bytes(range(256)),
        "colour": Colour.DEEP_BLUE,
    },
    {"text": "\\N", "is_open": False, "extra": {}, "content": b"", "made": datetime(1970, 1, 1, tzinfo=UTC), "ratio": 0.1},
    {"text": "", "amount": Decimal("-0.01"), "made": datetime(1, 1, 1, tzinfo=UTC), "day": date(1, 1, 1)},
    {"text": "क्षत्रिय\u200d 👩🏽\u200d🚀 \u2028", "extra": {"large": 1e23, "text": "1e+23"}},
    {},
]


async def fill(service: SqliteDatabaseService, count: int = 0) -> None:
    """Make the tables, the rows above and so many plain ones."""
    async with service.engine.begin() as connection:
        await connection.run_sync(Copied.metadata.create_all)
    async with service.session() as session:
        await session.execute(text("PRAGMA defer_foreign_keys=ON"))  # rows refer to later ones
        for number, row in enumerate(ROWS, 1):
            session.add(Parent(id=number, parent_id=number % len(ROWS) + 1, **row))
        await session.flush()
        session.add_all(Parent(id=100 + number, text=f"row {number}") for number in range(count))
        session.add(Child(id=uuid.UUID(int=7), parent_id=1))


async def content(service: DatabaseService) -> list[Any]:
    """Return all there is, as the models see it."""
    async with service.session(read_only=True) as session:
        parents = (await session.execute(select(Parent.__table__).order_by(Parent.id))).all()
        children = (await session.execute(select(Child.__table__))).all()
        return [tuple(row) for row in [*parents, *children]]


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabaseService]:
    """An empty SQLite database."""
    async with SqliteDatabaseService(SqliteSettings(db_path=tmp_path / "source.db")) as service:
        yield service


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
    """A PostgreSQL database with the tables, and nothing in them."""
    async with PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(postgresql_url))) as service:
        async with service.engine.begin() as connection:
            await connection.run_sync(Copied.metadata.create_all)
        yield service


async def test_every_value_arrives_there_and_back(
    sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the models read is the same on the source, the target, and a copy of that."""
    monkeypatch.setattr(copy, "BATCH_ROWS", 100)
    await fill(sqlite, 450)

    counts = await copy_database(sqlite, postgresql)

    expected = await content(sqlite)
    assert counts == {"parent": 455, "a child": 1}
    assert await content(postgresql) == expected
    async with SqliteDatabaseService(SqliteSettings(db_path=tmp_path / "back.db")) as back:
        async with back.engine.begin() as connection:
            await connection.run_sync(Copied.metadata.create_all)
        assert await copy_database(postgresql, back) == counts
        assert await content(back) == expected


async def test_new_rows_are_numbered_on(sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService) -> None:
    """The target's sequences know what was copied, and those of empty tables begin at 1."""
    await fill(sqlite)
    await copy_database(sqlite, postgresql)

    async with postgresql.session() as session:
        parent = Parent(text="new")
        session.add(parent)

    assert parent.id == len(ROWS) + 1


async def test_a_value_that_the_target_refuses_copies_nothing(
    sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService
) -> None:
    """The error says the table, the row and the remedy."""
    await fill(sqlite)
    async with sqlite.session() as session:
        await session.execute(text("UPDATE parent SET text = 'a' || char(0) WHERE id = 4"))

    with pytest.raises(DatabaseError, match=r"'parent' cannot be copied.*line \d.*Mend"):
        await copy_database(sqlite, postgresql)

    assert await content(postgresql) == []


async def test_a_target_with_rows_is_left_alone(sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService) -> None:
    """A second copy does not mix with the first."""
    await fill(sqlite)
    await copy_database(sqlite, postgresql)

    with pytest.raises(DatabaseError, match="holds rows already"):
        await copy_database(sqlite, postgresql)

    assert await content(postgresql) == await content(sqlite)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE parent DROP COLUMN ratio", "column parent.ratio is only in the source"),
        ("ALTER TABLE parent ADD COLUMN more text", "column parent.more is only in the target"),
        ("CREATE TABLE more (id int)", "table more is only in the target"),
        ("CREATE TABLE alembic_version (version_num text); ", "revision none"),
    ],
)
async def test_schemas_that_differ_are_named(
    sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService, statement: str, message: str
) -> None:
    """Nothing is left out unseen."""
    await fill(sqlite)
    async with postgresql.engine.begin() as connection:
        await connection.execute(text(statement))
        if "alembic" in statement:
            await connection.execute(text("INSERT INTO alembic_version VALUES ('abc')"))

    with pytest.raises(DatabaseError, match=message):
        await copy_database(sqlite, postgresql)


async def test_tables_in_a_circle_are_named(sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService) -> None:
    """None of them can be first."""
    for service in (sqlite, postgresql):
        async with service.engine.begin() as connection:
            await connection.run_sync(Copied.metadata.create_all)
            await connection.execute(text('ALTER TABLE parent ADD COLUMN child_id uuid REFERENCES "a child"(id)'))

    with pytest.raises(DatabaseError, match="circle"):
        await copy_database(sqlite, postgresql)


async def test_progress_is_told(sqlite: SqliteDatabaseService, postgresql: PostgresqlDatabaseService) -> None:
    """After each batch, and at the end of each table."""
    await fill(sqlite)
    told: list[TableCopied] = []

    await copy_database(sqlite, postgresql, on_progress=told.append)

    assert TableCopied("parent", len(ROWS), is_done=True) in told
    assert told[-1] == TableCopied("a child", 1, is_done=True)


def test_the_command_copies_from_a_named_instance(postgresql_url: str, tmp_path: Path) -> None:
    """Two named databases, and no code."""
    import asyncio

    async def prepare() -> None:
        async with SqliteDatabaseService(SqliteSettings(db_path=tmp_path / "old.db")) as service:
            await fill(service)
        settings = PostgresqlSettings(url=SecretStr(postgresql_url))
        async with PostgresqlDatabaseService(settings) as service, service.engine.begin() as connection:
            await connection.run_sync(Copied.metadata.create_all)

    asyncio.run(prepare())
    old = {"OLD_DATABASE_TYPE": "sqlite", "OLD_SQLITE_DB_PATH": str(tmp_path / "old.db")}
    platform = Platform({"DATABASE_TYPE": "postgresql", "DATABASE_URL": postgresql_url} | old)

    with use_platform(platform):
        first = CliRunner().invoke(build_commands(), ["copy", "old"])
        second = CliRunner().invoke(build_commands(), ["copy", "old"])

    assert (first.exit_code, second.exit_code) == (0, 1), first.output + second.output
    assert "6 rows of 2 tables" in first.output
    assert "holds rows already" in second.output
