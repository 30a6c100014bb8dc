"""The database backend `postgresql`, with replicas, behind poolers; needs the extra `indiaai-db[postgresql]`."""

from indiaai_db.postgresql.service import PostgresqlDatabaseService
from indiaai_db.postgresql.settings import PostgresqlSettings

__all__ = ["PostgresqlDatabaseService", "PostgresqlSettings"]
