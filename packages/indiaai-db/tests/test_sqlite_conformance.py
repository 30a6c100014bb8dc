"""The database contract on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import DatabaseConformance


class TestSqlite(DatabaseConformance):
    """SQLite keeps every promise."""

    @pytest.fixture
    async def service(self, sqlite_path: Path) -> AsyncIterator[SqliteDatabaseService]:
        """An open service on an empty database."""
        async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path)) as service:
            yield service
