"""One connection to PostgreSQL, and what keeps it from being waited for without end; imported by openers and the service."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from indiaai_core.errors import BackendUnavailable

__all__ = ["PostgresqlConnection", "close_for_good", "explain_setup", "ping_in_time"]

GOODBYE_SECONDS = 2.0

DEAD_HOST_SECONDS = 30
"""After how long without a sign of life from the other host's kernel a connection is given up."""

_KEEPALIVE_OPTIONS = (("TCP_KEEPIDLE", 15), ("TCP_KEEPALIVE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""Each where the platform has it; `TCP_KEEPALIVE` is what macOS calls the first one."""


class PostgresqlConnection(asyncpg.Connection):
    """A connection whose transactions may each have a timeout for statements.

    Attributes:
        statement_timeout_seconds: How long a statement of a transaction may take; None for any time.
        is_stand_in: Whether it leads to the primary because the replica that was asked for did not answer.
    """

    statement_timeout_seconds: float | None = None
    is_stand_in: bool = False

    def outlive_no_host(self) -> None:
        """Have the kernel notice a host that is gone without a word: it would otherwise resend for a quarter of an hour."""
        transport: Any = self._transport  # type: ignore[attr-defined]  # asyncpg has no other way to the socket
        channel = transport.get_extra_info("socket")
        if channel is None or channel.family not in (socket.AF_INET, socket.AF_INET6):
            return
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (*_KEEPALIVE_OPTIONS, ("TCP_USER_TIMEOUT", DEAD_HOST_SECONDS * 1000)):
            if option := getattr(socket, name, None):
                channel.setsockopt(socket.IPPROTO_TCP, option, value)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Execute as asyncpg does, begin each transaction with its timeout, and let no COMMIT that did not commit pass for one.

        The timeout is set in the same round trip, and not when the connection starts: a pooler in transaction mode takes no
        such parameter then, and what was set for a connection would be set for whoever gets it next. It ends before COMMIT,
        of which nobody would know what became of it: PostgreSQL leaves that out by itself, others that speak like it may not.

        Raises:
            asyncpg.InFailedSQLTransactionError: A statement had failed, and the server answered COMMIT by rolling back.
        """
        if self.statement_timeout_seconds is not None and query.startswith("BEGIN"):
            query = f"{query} SET LOCAL statement_timeout = {round(self.statement_timeout_seconds * 1000)};"
        if query != "COMMIT;":
            return await super().execute(query, *args, timeout=timeout)
        if self.statement_timeout_seconds is not None:
            query = f"SET LOCAL statement_timeout = 0; {query}"
        status = await super().execute(query, timeout=timeout)
        if status != "COMMIT":
            raise asyncpg.InFailedSQLTransactionError("a statement failed before, so that COMMIT rolled the transaction back")
        return status


async def close_for_good(connection: PostgresqlConnection) -> None:
    """Cancel on the server what is under way, say goodbye and close; after 2 seconds without the goodbye."""
    try:
        await connection.close(timeout=GOODBYE_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it was broken before
        connection.terminate()


def explain_setup(engine: AsyncEngine, place: str) -> None:
    """Raise errors of indiaai-core when a connection breaks while SQLAlchemy prepares it, in place of the driver's own.

    Args:
        engine: The engine; the dialect is as it shall be.
        place: Where it connects to, for the message.
    """
    dialect: Any = engine.sync_engine.dialect

    def explained(setup: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def prepare(connection: Any) -> None:
            try:
                await setup(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                raise BackendUnavailable(f"PostgreSQL at {place} broke off as it was connected to: {error}") from error

        return prepare

    for name in ("setup_asyncpg_json_codec", "setup_asyncpg_jsonb_codec"):
        setattr(dialect, name, explained(getattr(dialect, name)))


def ping_in_time(engine: AsyncEngine, timeout_seconds: float) -> None:
    """Ask connections of the pool for a sign of life by one statement, and not for ever.

    SQLAlchemy asks in a transaction of its own, which is four round trips, and waits until the kernel has given up.

    Args:
        engine: The engine; its pool pings (`pool_pre_ping`).
        timeout_seconds: How long to wait for the answer. A connection without one is replaced.
    """

    async def ping(connection: PostgresqlConnection) -> bool:
        if connection.is_stand_in:
            await close_for_good(connection)
            return False
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await connection.execute("SELECT 1", timeout=timeout_seconds)
            return True
        connection.terminate()  # its goodbye would be waited for as well
        return False

    def do_ping(connection: Any) -> bool:
        is_alive: bool = connection.run_async(ping)
        return is_alive

    dialect: Any = engine.sync_engine.dialect
    dialect.do_ping = do_ping
