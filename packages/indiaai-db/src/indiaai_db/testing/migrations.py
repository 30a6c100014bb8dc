"""Promises D22 to D26: what `upgrade` does to a schema."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from indiaai_core.errors import ConfigurationError
from indiaai_core.testing.promises import promise
from indiaai_db.errors import MigrationFailed
from indiaai_db.migrations import write_folder
from indiaai_db.service import DatabaseService

__all__ = ["BROKEN", "FIRST", "SECOND", "MigrationPromises", "write_application"]

FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "one", None

def upgrade():
    op.create_table("conformance_first", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))
    op.execute("INSERT INTO conformance_first (id, name) VALUES (1, 'kept')")

def downgrade():
    op.drop_table("conformance_first")
"""

SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "two", "one"

def upgrade():
    with op.batch_alter_table("conformance_first") as table:
        table.alter_column("name", existing_type=sa.String(9), nullable=False)
        table.add_column(sa.Column("age", sa.Integer, server_default="0", nullable=False))
        table.create_check_constraint("age_is_not_negative", "age >= 0")

def downgrade():
    with op.batch_alter_table("conformance_first") as table:
        table.drop_constraint("age_is_not_negative", type_="check")
        table.drop_column("age")
"""

BROKEN = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "three", "two"

def upgrade():
    op.create_table("conformance_half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("UPDATE conformance_first SET name = 'changed'")
    raise RuntimeError("halfway")
"""


def write_application(folder: Path, *revisions: str) -> Path:
    """Write an application that has nothing but these migrations, and return its alembic.ini."""
    write_folder(folder / "alembic.ini", Path("migrations"))
    for number, source in enumerate(revisions):
        (folder / "migrations" / "versions" / f"{number}.py").write_text(source)
    return folder / "alembic.ini"


async def _tables(service: DatabaseService) -> list[str]:
    async with service.engine.connect() as connection:
        return sorted(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def _rows(service: DatabaseService, statement: str) -> list[tuple[object, ...]]:
    async with service.session(read_only=True) as session:
        return [tuple(row) for row in (await session.execute(text(statement))).all()]


class MigrationPromises:
    """What `upgrade` promises."""

    @promise("D22", "`upgrade` brings an empty database to the head; again, it changes nothing.")
    async def test_upgrade_brings_the_schema_to_the_head(self, service: DatabaseService, tmp_path: Path) -> None:
        config = write_application(tmp_path, FIRST, SECOND)

        await service.upgrade(config=config)
        await service.upgrade(config=config)

        assert await _tables(service) == ["alembic_version", "conformance_first"]
        assert await _rows(service, "SELECT id, name, age FROM conformance_first") == [(1, "kept", 0)]
        assert await _rows(service, "SELECT version_num FROM alembic_version") == [("two",)]

    @promise("D23", "`upgrade` to a revision goes there and no further; a folder of migrations is as good as its alembic.ini.")
    async def test_upgrade_goes_to_the_revision_that_is_named(self, service: DatabaseService, tmp_path: Path) -> None:
        config = write_application(tmp_path, FIRST, SECOND)

        await service.upgrade("one", config=config.parent / "migrations")

        assert await _rows(service, "SELECT version_num FROM alembic_version") == [("one",)]

    @promise("D24", "Where there are no migrations, `upgrade` raises ConfigurationError naming what it looked for.")
    async def test_upgrade_without_migrations_names_what_lacks(self, service: DatabaseService, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"alembic\.ini"):
            await service.upgrade(config=tmp_path / "alembic.ini")

    @promise("D25", "Many that upgrade at once run each migration once, and all of them succeed.")
    async def test_many_upgrades_at_once_run_each_migration_once(self, service: DatabaseService, tmp_path: Path) -> None:
        config = write_application(tmp_path, FIRST, SECOND)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(service.upgrade(config=config))

        assert await _rows(service, "SELECT count(*) FROM conformance_first") == [(1,)]

    @promise("D26", "A migration that fails halfway leaves schema and data as they were, whatever revision it began at.")
    async def test_failed_migration_leaves_the_old_schema(self, service: DatabaseService, tmp_path: Path) -> None:
        config = write_application(tmp_path, FIRST, SECOND, BROKEN)
        await service.upgrade("one", config=config)

        with pytest.raises(MigrationFailed, match="halfway"):
            await service.upgrade(config=config)

        assert await _tables(service) == ["alembic_version", "conformance_first"]
        assert await _rows(service, "SELECT * FROM conformance_first") == [(1, "kept")]
        assert await _rows(service, "SELECT version_num FROM alembic_version") == [("one",)]
