"""The way to a PostgreSQL server: which host is asked, and what it means when none answers; imported by the service."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncpg

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError
from indiaai_db.postgresql.connection import PostgresqlConnection
from indiaai_db.postgresql.url import PostgresqlUrl

__all__ = ["Opener"]

_COPY = "copy the URL from the provider's page anew"

LEFT_OUT_SECONDS = 5.0
"""For how long a host that did not answer is asked last."""

GRACE_SECONDS = 5.0
"""How much longer than the server's own timeout a statement is waited for, in case the server says nothing any more."""


@dataclass
class Opener:
    """Opens connections to a database, at the first of its hosts that answers.

    Attributes:
        url: Where to go.
        variable: The variable that says so, for messages.
        options: What asyncpg takes besides.
        connect_timeout_seconds: How long to wait for each host, unless the URL says otherwise.
        statement_timeout_seconds: How long a statement of a transaction may take.
    """

    url: PostgresqlUrl
    variable: str
    options: dict[str, Any]
    connect_timeout_seconds: float
    statement_timeout_seconds: float | None = None
    _left_out_until: dict[str, float] = field(default_factory=dict)
    _abandoned: set[asyncio.Future[Any]] = field(default_factory=set)

    async def __call__(self, *_: Any, **__: Any) -> PostgresqlConnection:
        """Open a connection; what SQLAlchemy calls, with arguments that are not needed.

        Raises:
            ConfigurationError: The server refuses these settings.
            BackendUnavailable: No host answers.
        """
        errors: list[BackendUnavailable] = []
        for url in self._in_turn():
            try:
                return await self._open(url)
            except BackendUnavailable as error:
                self._left_out_until[url.dsn] = time.monotonic() + LEFT_OUT_SECONDS
                errors.append(error)
        raise errors[0] if len(errors) == 1 else BackendUnavailable(" ".join(f"{error}." for error in errors))

    def _in_turn(self) -> list[PostgresqlUrl]:
        # Each by itself: the driver would give all of them together one timeout, which the first one that is silent uses up.
        now = time.monotonic()
        return sorted(self.url.hosts or (self.url,), key=lambda url: self._left_out_until.get(url.dsn, 0.0) > now)

    async def _open(self, url: PostgresqlUrl) -> PostgresqlConnection:
        opening = asyncio.ensure_future(self._connect(url))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # asyncpg reports a cancelled handshake as an error that nobody handled. So it is left to end by itself.
            self._abandoned.add(opening)
            opening.add_done_callback(self._forget)
            raise

    async def _connect(self, url: PostgresqlUrl) -> PostgresqlConnection:
        timeout = url.connect_timeout_seconds or self.connect_timeout_seconds
        options: dict[str, Any] = {"timeout": timeout} | self.options
        if self.statement_timeout_seconds is not None:
            options["command_timeout"] = self.statement_timeout_seconds + GRACE_SECONDS
        try:
            with anyio.fail_after(timeout):  # with older releases of asyncpg its own counts for each of a host's addresses
                connection: PostgresqlConnection = await asyncpg.connect(
                    url.dsn, connection_class=PostgresqlConnection, **options
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
            raise self._explain(error, url) from error
        connection.outlive_no_host()
        connection.statement_timeout_seconds = self.statement_timeout_seconds
        return connection

    def _forget(self, opening: asyncio.Future[Any]) -> None:
        self._abandoned.discard(opening)
        if not opening.cancelled() and opening.exception() is None:
            opening.result().terminate()

    async def drain(self) -> None:
        """Wait for connections that nobody wants any more to be opened and closed, or to fail."""
        if self._abandoned:
            await asyncio.wait(self._abandoned)

    def _explain(self, error: Exception, url: PostgresqlUrl) -> IndiaAIError:
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
            f"{self.variable}: {found} at {url.shown} ({reason}). Set it to {expected}.",
            faults=[Fault(self.variable, f"{found} at {url.shown}", expected, remedy)],
        )
