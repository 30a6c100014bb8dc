"""The database backend `sqlite`: one file, nothing to install, several processes."""

from indiaai_db.sqlite.service import SqliteDatabaseService
from indiaai_db.sqlite.settings import SqliteSettings

__all__ = ["SqliteDatabaseService", "SqliteSettings"]
