"""The database contract on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import DatabaseConformance


class TestPostgresql(DatabaseConformance):
    """PostgreSQL keeps every promise."""

    @pytest.fixture
    async def service(self, postgresql_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
        """An open service on an empty database."""
        async with PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(postgresql_url))) as service:
            yield service
