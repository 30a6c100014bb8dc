"""The layer `database`: one SQLAlchemy session, one set of models and one history of migrations on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indiaai_db.errors import (
    CommitUnknown,
    DatabaseError,
    MigrationFailed,
    MigrationWouldLock,
    ReadOnlySession,
    TransactionConflict,
)
from indiaai_db.factory import get_database_service
from indiaai_db.layer import LAYER
from indiaai_db.service import DatabaseService

if TYPE_CHECKING:
    from indiaai_db.backend import SqlalchemyDatabaseService
    from indiaai_db.models import Base
    from indiaai_db.types import PortableDecimal, PortableJson, PortableList, UtcDateTime, portable_enum, utc_now

__all__ = [
    "LAYER",
    "Base",
    "CommitUnknown",
    "DatabaseError",
    "DatabaseService",
    "MigrationFailed",
    "MigrationWouldLock",
    "PortableDecimal",
    "PortableJson",
    "PortableList",
    "ReadOnlySession",
    "SqlalchemyDatabaseService",
    "TransactionConflict",
    "UtcDateTime",
    "get_database_service",
    "portable_enum",
    "utc_now",
]

# SQLAlchemy takes 0.2 s to import, and the platform loads every layer's declaration: only those who use it wait for it.
_TYPES = ("PortableDecimal", "PortableJson", "PortableList", "UtcDateTime", "portable_enum", "utc_now")
_LAZY = {"Base": "indiaai_db.models", "SqlalchemyDatabaseService": "indiaai_db.backend"} | dict.fromkeys(
    _TYPES, "indiaai_db.types"
)


def __getattr__(name: str) -> Any:
    """Import a heavy name when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
