"""One connection to PostgreSQL: where it goes, and what it means when it cannot be made; imported by the service."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncpg

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError
from indiaai_db.postgresql.url import PostgresqlUrl

__all__ = ["Opener", "close_for_good"]

GOODBYE_SECONDS = 2.0

_COPY = "copy the URL from the provider's page anew"

REPLICA_RETRY_SECONDS = 5.0
"""For how long a replica that did not answer is left out."""


async def close_for_good(connection: asyncpg.Connection) -> None:
    """Cancel on the server what is under way, say goodbye and close; after 2 seconds without the goodbye."""
    try:
        await connection.close(timeout=GOODBYE_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it was broken before
        connection.terminate()


@dataclass
class Opener:
    """Opens connections to the first of several databases that answers.

    Attributes:
        urls: Where to go. With more than one, replicas in turn, and last the primary.
        options: What asyncpg takes besides.
        connect_timeout_seconds: How long to wait, unless the URL says otherwise.
    """

    urls: Sequence[PostgresqlUrl]
    options: dict[str, Any]
    connect_timeout_seconds: float
    _turn: int = 0
    _left_out_until: dict[str, float] = field(default_factory=dict)
    _abandoned: set[asyncio.Future[Any]] = field(default_factory=set)

    async def __call__(self, *_: Any, **__: Any) -> Any:
        """Open a connection; what SQLAlchemy calls, with arguments that are not needed.

        Raises:
            ConfigurationError: The server refuses these settings.
            BackendUnavailable: No server answers.
        """
        for url in self._in_turn():
            try:
                return await self._open(url)
            except BackendUnavailable:
                self._left_out_until[url.dsn] = time.monotonic() + REPLICA_RETRY_SECONDS
        return await self._open(self.urls[-1])

    def _in_turn(self) -> list[PostgresqlUrl]:
        replicas = self.urls[:-1]
        if not replicas:
            return []
        self._turn = (self._turn + 1) % len(replicas)
        now = time.monotonic()
        turned = [*replicas[self._turn :], *replicas[: self._turn]]
        return [url for url in turned if self._left_out_until.get(url.dsn, 0.0) <= now]

    async def _open(self, url: PostgresqlUrl) -> Any:
        opening = asyncio.ensure_future(self._connect(url))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # asyncpg reports a cancelled handshake as an error that nobody handled. So it is left to end by itself.
            self._abandoned.add(opening)
            opening.add_done_callback(self._forget)
            raise

    async def _connect(self, url: PostgresqlUrl) -> Any:
        timeout = url.connect_timeout_seconds or self.connect_timeout_seconds
        try:
            with anyio.fail_after(timeout):  # over all hosts and addresses; asyncpg's own counts for each
                return await asyncpg.connect(url.dsn, timeout=timeout, **self.options)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
            raise _explain_opening(error, url) from error

    def _forget(self, opening: asyncio.Future[Any]) -> None:
        self._abandoned.discard(opening)
        if not opening.cancelled() and opening.exception() is None:
            opening.result().terminate()

    async def drain(self) -> None:
        """Wait for connections that nobody wants any more to be opened and closed, or to fail."""
        if self._abandoned:
            await asyncio.wait(self._abandoned)


def _explain_opening(error: Exception, url: PostgresqlUrl) -> IndiaAIError:
    state = getattr(error, "sqlstate", None) or ""
    reason = str(error).partition("\n")[0] or type(error).__name__
    refusals = {
        "28": ("the server refuses the user or the password", "a user and password that may log in", _COPY),
        "3D": ("there is no such database", "a database that exists", f"make it: createdb {url.shown.rpartition('/')[2]}"),
        "42": ("the server refuses a parameter of the URL", "parameters that the server knows", "take what follows ? away"),
    }
    if state[:2] in refusals:
        found, expected, remedy = refusals[state[:2]]
    elif isinstance(error, ssl.SSLCertVerificationError):
        found, expected = "the server's certificate is not trusted", "an sslmode and sslrootcert that fit the server"
        remedy = "add ?sslmode=verify-full&sslrootcert=PATH with the file that the provider gives"
    elif isinstance(error, (ValueError, asyncpg.ClientConfigurationError)):
        found, expected, remedy = "the driver does not take the URL", "a URL as the provider prints it", _COPY
    else:
        return BackendUnavailable(f"PostgreSQL at {url.shown} does not answer: {reason}")
    return ConfigurationError(
        f"DATABASE_URL: {found} at {url.shown} ({reason}). Set it to {expected}.",
        faults=[Fault("DATABASE_URL", f"{found} at {url.shown}", expected, remedy)],
    )
