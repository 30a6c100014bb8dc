"""What is promised of an application's models, whatever they are; subclassed by the tests of applications.

    class TestModels(ModelConformance):
        metadata = Base.metadata
        migrations = Path(__file__).parent.parent / "alembic.ini"

        @pytest.fixture
        async def service(self, tmp_path):
            async with SqliteDatabaseService(SqliteSettings(db_path=tmp_path / "test.db")) as service:
                yield service

Run it on each database that the application is to serve on: the same promises then hold on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio.to_thread
from sqlalchemy import Constraint, Index, MetaData, Table, inspect, select

from indiaai_core.testing import Conformance
from indiaai_core.testing.promises import promise
from indiaai_db.migrations import run_command
from indiaai_db.service import DatabaseService
from indiaai_db.testing.samples import sample_rows

__all__ = ["ModelConformance"]

LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer names, and two that begin alike are then one."""


class ModelConformance(Conformance):
    """What an application's models and migrations do on every database.

    Subclass it in a test module, name the models and the migrations, and give the asynchronous fixture `service`: an open
    service on an empty database, which the fixture closes.

    Attributes:
        metadata: The models' metadata.
        migrations: The application's `alembic.ini`, or its folder of migrations.
        samples: Values for columns whose type the suite does not know, or that a constraint limits, by `table.column`.
    """

    metadata: ClassVar[MetaData]
    migrations: ClassVar[Path]
    samples: ClassVar[Mapping[str, Any]] = {}

    @promise("M01", "The migrations make what the models say, and none of them locks a table that may be large.")
    async def test_migrations_make_what_the_models_say(self, service: DatabaseService) -> None:
        await service.upgrade(config=self.migrations)

        await anyio.to_thread.run_sync(partial(run_command, "check", self.migrations, service=service))

        assert {*self.metadata.tables} <= await _tables(service)

    @promise("M02", "The migrations go back to where there is no table, and forth again.")
    async def test_migrations_go_back_and_forth(self, service: DatabaseService) -> None:
        await service.upgrade(config=self.migrations)

        await anyio.to_thread.run_sync(partial(run_command, "downgrade", self.migrations, "base", service=service))
        left = await _tables(service) - {"alembic_version"}
        await service.upgrade(config=self.migrations)

        assert left == set()
        assert {*self.metadata.tables} <= await _tables(service)

    @promise("M03", "A value of every column comes back as it was given, at its limits and in every script, and so does none.")
    async def test_values_come_back(self, service: DatabaseService) -> None:
        await service.upgrade(config=self.migrations)
        rows = sample_rows(self.metadata, self.samples)

        async with service.session() as session:
            for table, values in rows:
                await session.execute(table.insert(), values)

        async with service.session(read_only=True) as session:
            for table, values in rows:
                found = (await session.execute(select(table).where(*_is_key(table, values)))).mappings().one()
                assert {name: found[name] for name in values} == values, table.name

    @promise("M04", "Every constraint and every index has a name, which a migration needs to change it.")
    async def test_constraints_have_names(self, service: DatabaseService) -> None:
        tables = self.metadata.sorted_tables

        nameless = [(table.name, repr(one)) for table in tables for one in _constraints(table) if not one.name]

        assert nameless == []

    @promise("M05", "Every name is short enough for every database.")
    async def test_names_are_short_enough(self, service: DatabaseService) -> None:
        await service.upgrade(config=self.migrations)

        tables = self.metadata.sorted_tables
        names = {str(thing.name) for table in tables for thing in (table, *table.columns, *_constraints(table)) if thing.name}

        assert sorted(name for name in names if len(name.encode()) > LONGEST_NAME_BYTES) == []


async def _tables(service: DatabaseService) -> set[str]:
    async with service.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


def _constraints(table: Table) -> list[Constraint | Index]:
    return [*table.constraints, *table.indexes]


def _is_key(table: Table, values: Mapping[str, Any]) -> list[Any]:
    return [column == values[column.name] for column in table.primary_key.columns]
