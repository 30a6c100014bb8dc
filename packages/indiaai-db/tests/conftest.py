"""What the tests of this package share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import PostgresqlServer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("DATABASE_TYPE", "DATABASE_URL", "SQLITE_DB_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "test.db"


@pytest.fixture
async def sqlite_service(sqlite_path: Path) -> AsyncIterator[SqliteDatabaseService]:
    async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path)) as service:
        yield service


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
async def postgresql_url(postgresql_server: PostgresqlServer) -> AsyncIterator[str]:
    """The URL of an empty database that goes with the test."""
    connection = await asyncpg.connect(postgresql_server.url)
    name = f"test_{uuid.uuid4().hex}"
    await connection.execute(f"CREATE DATABASE {name}")
    yield postgresql_server.database_url(name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()
