"""The models and their migrations do the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from application import HOME
from sqlalchemy import text

from indiaai_core import Platform
from indiaai_db import DatabaseService
from indiaai_db.testing import ModelConformance, PostgresqlServer
from models import Document


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """Return a PostgreSQL server of the tests' own."""
    with PostgresqlServer() as server:
        yield server


class TestModels(ModelConformance):
    """What is promised of any application's models."""

    metadata = Document.metadata
    migrations = HOME / "alembic.ini"

    @pytest.fixture(params=["sqlite", "postgresql"])
    def variables(self, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
        """Return what selects each database."""
        if request.param == "sqlite":
            return {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(tmp_path / "test.db")}
        return {"DATABASE_TYPE": "postgresql", "DATABASE_URL": request.getfixturevalue("server").url}

    @pytest.fixture
    async def service(self, variables: dict[str, str]) -> AsyncIterator[DatabaseService]:
        """Open a service on an empty database."""
        async with cast(DatabaseService, Platform(variables).get_service("database")) as service:
            yield service
            if service.dialect_name == "postgresql":
                async with service.engine.begin() as connection:
                    await connection.execute(text("DROP SCHEMA public CASCADE"))
                    await connection.execute(text("CREATE SCHEMA public"))
