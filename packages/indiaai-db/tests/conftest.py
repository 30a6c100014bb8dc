"""What the tests of this package share."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import PostgresqlServer

sys.path.insert(0, str(Path(__file__).parent))  # for `writing`, which processes import

collect_ignore = ["chaos"]  # run by the session of this name, or by its path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("DATABASE_TYPE", "DATABASE_URL", "SQLITE_DB_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # Alembic puts applications on it
    monkeypatch.setattr("indiaai_core.platform._default", None)  # each test reads the environment anew


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """A path at which there is nothing yet, not even its folder."""
    return tmp_path / "data" / "test.db"


@pytest.fixture
async def sqlite_service(sqlite_path: Path) -> AsyncIterator[SqliteDatabaseService]:
    """A service on an empty SQLite database."""
    async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path)) as service:
        yield service


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for the whole run."""
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The URL of an empty database that goes with the test."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_administer(postgresql_server, f"CREATE DATABASE {name}"))
    yield postgresql_server.database_url(name)
    asyncio.run(_administer(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _administer(server: PostgresqlServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute(statement)
    await connection.close()
