"""The way to the current database service; imported by applications."""

from __future__ import annotations

from typing import cast

from indiaai_core.platform import get_service
from indiaai_db.service import DatabaseService

__all__ = ["get_database_service"]


def get_database_service(name: str | None = None) -> DatabaseService:
    """Return the database service of the current platform: made at the first call, the same one after that.

    Args:
        name: A named instance, whose variables are read with the prefix `<NAME>_` first; None for the main one.

    Raises:
        ConfigurationError: The backend that `DATABASE_TYPE` selects is not installed, does not load or is not set up.
    """
    return cast(DatabaseService, get_service("database", name))
