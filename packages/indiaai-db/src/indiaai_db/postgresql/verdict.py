"""Whether a transaction whose COMMIT had no answer is there; imported by the service.

A transaction's id is asked for before COMMIT, in a round trip of its own, and its fate afterwards, over another
connection. A server that crashed may give an id again that it had not yet written down, so the answer counts only while
the server is known to have lived on: the same postmaster, and no checkpoint since, for a recovery ends with one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from indiaai_core.errors import BackendUnavailable

__all__ = ["Mark", "find_fate", "mark"]

PATIENCE_SECONDS = 10.0
"""How long to ask: the server notices only after a while that a connection is gone, and may be out of reach itself."""

_MARK = text(
    "SELECT pg_current_xact_id_if_assigned()::text, pg_postmaster_start_time()::text, pg_current_wal_insert_lsn()::text"
)

_FATE = text("""
    SELECT pg_xact_status(CAST(CAST(:identifier AS text) AS xid8)),
           pg_postmaster_start_time()::text = :server_started
           AND redo_lsn <= CAST(CAST(:position AS text) AS pg_lsn)
    FROM pg_control_checkpoint()
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a transaction is found by again.

    Attributes:
        identifier: Its id; None for one that wrote nothing.
        server_started: When its server started.
        position: Where its server's log ended.
    """

    identifier: str | None
    server_started: str
    position: str


async def mark(session: AsyncSession) -> Mark:
    """Ask for the mark of a session's transaction, once all of its work is with the server."""
    await session.flush()
    return Mark(*(await session.execute(_MARK)).one())


async def find_fate(found: Mark, engine: AsyncEngine) -> bool | None:
    """Return whether a marked transaction was committed; None if that cannot be known."""
    if found.identifier is None:
        return False
    asked = {"identifier": found.identifier, "server_started": found.server_started, "position": found.position}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            async with engine.connect() as connection:
                fate, has_lived_on = (await connection.execute(_FATE, asked)).one()
        except (BackendUnavailable, OSError):
            pass
        except SQLAlchemyError as error:
            if not getattr(error, "connection_invalidated", False):  # this one may be lost as well: ask by the next
                return None  # such as an id of another server's that this one has not come to yet
        else:
            if not has_lived_on:
                return None
            if fate != "in progress":
                return {"committed": True, "aborted": False}.get(fate)
        await anyio.sleep(0.1)
    return None
