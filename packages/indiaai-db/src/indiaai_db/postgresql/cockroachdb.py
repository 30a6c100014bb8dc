"""What CockroachDB does not share with PostgreSQL, whose protocol and dialect it speaks; imported by the service."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["adapt_engine", "isolation_level"]

SPOKEN_VERSION = (13, 0)
"""The PostgreSQL whose features SQLAlchemy may take for granted: CockroachDB says that it is 13, beside its own version."""


def adapt_engine(engine: AsyncEngine) -> None:
    """Keep an engine from asking at its first connection what only PostgreSQL knows.

    Its version's text is not PostgreSQL's, at which SQLAlchemy gives up, and there is no type `json` to set a codec for:
    that is another name of `jsonb` (https://www.cockroachlabs.com/docs/stable/jsonb).
    """
    dialect: Any = engine.sync_engine.dialect
    dialect._get_server_version_info = _say_version
    dialect.setup_asyncpg_json_codec = _set_no_codec


def isolation_level(chosen: str) -> str:
    """Return the isolation in place of the one that is set: instead of REPEATABLE READ there is SERIALIZABLE."""
    return "SERIALIZABLE" if chosen == "REPEATABLE READ" else chosen


def _say_version(_: Connection) -> tuple[int, ...]:
    return SPOKEN_VERSION


async def _set_no_codec(_: object) -> None:
    """Leave the type `json` alone."""
