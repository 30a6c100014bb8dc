"""pytest fixtures for an application's tests: a database for each run, and a rolled-back one for each test.

In the application's `conftest.py`:

    pytest_plugins = ["indiaai_db.testing.fixtures"]

`pytest` then runs on SQLite, and `pytest --database postgresql` the same tests on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from indiaai_core import Platform, current_platform
from indiaai_core.platform import use_platform
from indiaai_db.backend import SqlalchemyDatabaseService
from indiaai_db.service import DatabaseService
from indiaai_db.testing.rollback import RolledBackDatabase

__all__ = ["database", "database_schema", "database_settings", "migrated_database_settings", "pytest_addoption"]

SERVER_VARIABLE = "INDIAAI_TEST_POSTGRESQL_URL"
"""The server that databases are made on, by a user who may; where it is not set, a server is started for the run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the dialect."""
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help=f"what `database` is: a file, or a database on a PostgreSQL server ({SERVER_VARIABLE}, or one that is started)",
    )


@pytest.fixture(scope="session")
def database_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of an empty database that goes with the run; also for subprocesses."""
    if request.config.getoption("--database") == "sqlite":
        path = tmp_path_factory.mktemp("database") / "test.db"
        yield {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(path)}
        return
    if server_url := os.environ.get(SERVER_VARIABLE):
        yield from _database_on(server_url)
        return
    from indiaai_db.testing.server import PostgresqlServer

    with PostgresqlServer() as server:
        yield from _database_on(server.url)


@pytest.fixture(scope="session")
def database_schema(request: pytest.FixtureRequest) -> Callable[[DatabaseService], Awaitable[None]]:
    """What makes the tables; override it in your `conftest.py` if they are not made by the migrations of `alembic.ini`."""
    config = request.config.rootpath / "alembic.ini"
    if not config.is_file():
        pytest.fail(
            f"There is no {config}. Override the fixture database_schema with what makes your tables: an async function "
            "that takes the database service.",
            pytrace=False,
        )

    async def upgrade(service: DatabaseService) -> None:
        await service.upgrade(config=Path(config))

    return upgrade


@pytest.fixture(scope="session")
def migrated_database_settings(
    database_settings: dict[str, str], database_schema: Callable[[DatabaseService], Awaitable[None]]
) -> dict[str, str]:
    """The variables of that database, with the tables made, once in the run."""

    async def make_tables() -> None:
        platform = Platform(database_settings)
        with use_platform(platform):
            async with cast(DatabaseService, platform.get_service("database")) as service:
                await database_schema(service)

    _run_apart(make_tables)
    return database_settings


@pytest.fixture
async def database(migrated_database_settings: Mapping[str, str]) -> AsyncIterator[DatabaseService]:
    """A database service whose sessions are all rolled back at the end of the test.

    It is the current platform's for the time of the test: what the application gets from `get_database_service()`.
    """
    service = cast(SqlalchemyDatabaseService, Platform(migrated_database_settings).get_service("database"))
    async with service, RolledBackDatabase.opened(service) as rolled_back:
        with current_platform().override("database", rolled_back):
            yield rolled_back


def _database_on(server_url: str) -> Iterator[dict[str, str]]:
    name = f"test_{uuid.uuid4().hex}"
    _run_apart(lambda: _administer(server_url, f"CREATE DATABASE {name}"))
    url = make_url(server_url).set(drivername="postgresql", database=name)
    yield {"DATABASE_TYPE": "postgresql", "DATABASE_URL": url.render_as_string(hide_password=False)}
    _run_apart(lambda: _administer(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _administer(server_url: str, statement: str) -> None:
    url = make_url(server_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def _run_apart(work: Callable[[], Awaitable[None]]) -> None:
    """Run to the end in a thread of its own: a loop may be running in this one."""
    raised: list[BaseException] = []

    async def run() -> None:
        await work()

    def call() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
