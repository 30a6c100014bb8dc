"""The database service on PostgreSQL; selected by `DATABASE_TYPE=postgresql`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import anyio
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from indiaai_core.errors import BackendUnavailable, IndiaAIError
from indiaai_db.backend import SqlalchemyDatabaseService
from indiaai_db.engines import Engines, shield_termination
from indiaai_db.errors import CommitUnknown, ReadOnlySession, TransactionConflict
from indiaai_db.freshness import note_commit, seconds_since_commit
from indiaai_db.postgresql.cockroachdb import adapt_engine, isolation_level
from indiaai_db.postgresql.connection import PostgresqlConnection, close_for_good, explain_setup, ping_in_time
from indiaai_db.postgresql.opener import Opener
from indiaai_db.postgresql.replicas import Replica, Replicas
from indiaai_db.postgresql.settings import PostgresqlSettings
from indiaai_db.postgresql.url import PostgresqlUrl, split_urls
from indiaai_db.postgresql.verdict import find_fate, mark
from indiaai_db.types import dump_json

__all__ = ["PostgresqlDatabaseService"]

MIGRATION_LOCK = 0x1D1AA1DB
"""The advisory lock that a process holds while it migrates."""

MIGRATION_WAIT_SECONDS = 600.0
"""How long a process waits for another one that migrates."""

_CONFLICTS = frozenset({"40001", "40P01"})
_READ_ONLY = "25006"
_COMMIT_UNKNOWN = "40003"
_UNAVAILABLE = ("08", "53", "57", "58")
"""Classes of SQLSTATE: connection, resources, an operator's intervention (a shutdown, a statement's timeout), the system."""


@dataclass(frozen=True, slots=True)
class _PostgresqlEngines(Engines):
    """What one event loop works with, and the replicas that it may read from."""

    replicas: Replicas | None = None


class PostgresqlDatabaseService(SqlalchemyDatabaseService):
    """Transactions on one PostgreSQL database, its read-only ones on replicas where there are some.

    Safe behind a pooler in transaction mode (PgBouncer, Supabase): nothing is kept on a server's connection between
    transactions. Each event loop has a pool of `DATABASE_POOL_SIZE` connections, and one more for each
    replica.
    """

    contract_version: ClassVar[int] = 1
    settings_class = PostgresqlSettings
    dialect_name: ClassVar[str] = "postgresql"

    def __init__(self, settings: PostgresqlSettings | None = None) -> None:
        """Hold the settings; nothing connects yet.

        Args:
            settings: The settings; read from the environment where None.
        """
        super().__init__()
        self._settings = settings or PostgresqlSettings()  # type: ignore[call-arg]  # what is not given is read from the environment
        self._instance = self._settings.instance
        self._url = PostgresqlUrl.parse(self._settings.url.get_secret_value())
        self._replicas = [PostgresqlUrl.parse(url) for url in split_urls(self._settings.replica_urls.get_secret_value())]

    def __repr__(self) -> str:
        """Name hosts and database, and no secret."""
        return f"<PostgresqlDatabaseService {self._url.shown!r}>"

    @property
    def locks_tables(self) -> bool:
        """Whether changing a large table keeps others from it for long: not on CockroachDB."""
        return not self._url.is_cockroachdb

    def _create_engines(self) -> Engines:
        opener = self._opener(self._url, "DATABASE_URL", has_to_write=True)
        writer = self._new_engine(opener, **self._pool())
        event.listen(writer.sync_engine, "handle_error", _leave_a_demoted_primary)
        replicas = self._new_replicas(opener) if self._replicas else None

        async def drain() -> None:
            if replicas is not None:
                await replicas.aclose()
            await opener.drain()

        return _PostgresqlEngines(
            writer=writer,
            reader=writer.execution_options(postgresql_readonly=True),
            serializable=writer.execution_options(isolation_level="SERIALIZABLE"),
            drain=drain,
            replicas=replicas,
        )

    def _new_replicas(self, primary: Opener) -> Replicas:
        timeout = self._settings.connect_timeout_seconds
        replicas = [Replica(self._opener(url, "DATABASE_REPLICA_URLS"), primary) for url in self._replicas]
        for replica in replicas:
            engine = self._new_engine(replica.connect, **self._pool())
            replica.engine = engine.execution_options(postgresql_readonly=True)
        return Replicas(primary, replicas, max_lag_seconds=self._settings.replica_pause_seconds, timeout_seconds=timeout)

    def _create_migration_engine(self) -> AsyncEngine:
        opener = self._opener(self._url, "DATABASE_URL", has_to_write=True)
        opener.statement_timeout_seconds = None  # to rewrite a large table takes as long as it takes
        return self._new_engine(opener, poolclass=NullPool)

    def _new_engine(self, opener: Callable[..., Awaitable[PostgresqlConnection]], **options: Any) -> AsyncEngine:
        # Without a name a statement is gone after its transaction, whichever server connection the pooler gives next.
        statements = {} if self._settings.prepared_statements else {"prepared_statement_name_func": str}
        isolation = self._settings.isolation_level
        engine = create_async_engine(
            "postgresql+asyncpg://",
            connect_args={"async_creator_fn": opener} | statements,
            json_serializer=dump_json,
            isolation_level=isolation_level(isolation) if self._url.is_cockroachdb else isolation,
            **options,
        )
        if self._url.is_cockroachdb:
            adapt_engine(engine)
        explain_setup(engine, self._url.shown)
        shield_termination(engine, close_for_good)
        ping_in_time(engine, self._settings.connect_timeout_seconds)
        event.listen(engine.sync_engine, "handle_error", self._leave_a_silent_server)
        return engine

    def _pool(self) -> dict[str, Any]:
        return {
            "pool_size": self._settings.pool_size,
            "max_overflow": 0,
            "pool_timeout": self._settings.pool_timeout_seconds,
            "pool_recycle": self._settings.pool_recycle_seconds,
            "pool_pre_ping": True,
            "pool_use_lifo": True,  # what a quiet hour does not need grows old and is recycled
        }

    def _opener(self, url: PostgresqlUrl, variable: str, *, has_to_write: bool = False) -> Opener:
        options: dict[str, Any] = {}
        if "application_name=" not in url.dsn:
            options["server_settings"] = {"application_name": self._settings.application_name}
        if not self._settings.prepared_statements:
            options["statement_cache_size"] = 0
        if has_to_write and not (url.is_cockroachdb or "target_session_attrs=" in url.dsn):
            # A pool that once met a demoted primary would otherwise go on writing to it for ever.
            options["target_session_attrs"] = "read-write"
        timeouts = self._settings.connect_timeout_seconds, self._settings.statement_timeout_seconds
        return Opener(url, self._settings.variables(variable), options, *timeouts)

    async def _reader(self, engines: Engines) -> AsyncEngine:
        replicas = cast("_PostgresqlEngines", engines).replicas
        if replicas is None or seconds_since_commit(self) <= self._settings.replica_pause_seconds:
            return engines.reader
        return await replicas.choose() or engines.reader

    def _note_commit(self) -> None:
        if self._replicas:
            note_commit(self)

    async def _mark(self, session: AsyncSession, *, is_repeatable: bool) -> Any:
        checks = self._settings.check_commits
        if checks == "never" or (checks == "run" and not is_repeatable) or not session.in_transaction():
            return None
        if self._url.is_cockroachdb:  # it has no way to ask for a transaction's fate
            return None
        return await mark(session)

    async def _was_committed(self, mark: Any) -> bool | None:
        return await find_fate(mark, self._engines.current().writer)

    def _migration_lock(self, engine: AsyncEngine) -> AbstractAsyncContextManager[None]:
        return _advisory_lock(engine)

    def _explain(self, error: DBAPIError, *, read_only: bool) -> IndiaAIError | None:
        state = getattr(error.orig, "sqlstate", None) or ""
        reason = str(error.orig).partition("\n")[0]
        if state in _CONFLICTS:
            return TransactionConflict(f"PostgreSQL rolled the transaction back ({state}: {reason}).", retry_after=0.1)
        if state == _COMMIT_UNKNOWN:  # CockroachDB's, of a COMMIT that another node did not answer
            return CommitUnknown()
        if state == _READ_ONLY:
            return (
                ReadOnlySession() if read_only else BackendUnavailable("The database takes no writes now: its primary changed.")
            )
        if error.connection_invalidated or state.startswith(_UNAVAILABLE):
            place = f"{self._url.shown}, or a replica of it," if read_only and self._replicas else self._url.shown
            return BackendUnavailable(f"PostgreSQL at {place} broke off ({state or 'connection lost'}: {reason}).")
        return None

    async def _check_connection(self) -> None:
        async with self._engines.current().writer.connect() as connection:
            # Of a CockroachDB every node takes writes, unless the role or the database says otherwise.
            is_read_only = "SHOW transaction_read_only" if self._url.is_cockroachdb else "SELECT pg_is_in_recovery()"
            if (await connection.execute(text(is_read_only))).scalar_one() in (True, "on"):
                raise BackendUnavailable(f"PostgreSQL at {self._url.shown} is a replica and takes no writes.")
        replicas = cast("_PostgresqlEngines", self._engines.current()).replicas
        if replicas is not None:
            await replicas.check()

    def _leave_a_silent_server(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, OSError):  # a timeout too, after which the driver would wait for the statement to be cancelled
            context.is_disconnect = True
            if context.statement is not None:  # or else it is a COMMIT's, of which more is to be said
                reason = str(error) or "no answer in time"
                raise BackendUnavailable(f"PostgreSQL at {self._url.shown} broke off ({reason}).") from error


def _leave_a_demoted_primary(context: ExceptionContext) -> None:
    is_read_only = context.connection is not None and context.connection.get_execution_options().get("postgresql_readonly")
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY and not is_read_only:
        context.is_disconnect = True


@asynccontextmanager
async def _advisory_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    # The lock belongs to a transaction, so that a pooler keeps it on one server connection and no failure leaves it behind.
    # Who waits for it asks again and again: waiting inside PostgreSQL would hold a snapshot, for which CREATE INDEX
    # CONCURRENTLY in the migration waits in its turn. READ COMMITTED, so that the idle transaction holds none either.
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="READ COMMITTED")
        with anyio.fail_after(MIGRATION_WAIT_SECONDS):
            while not await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})")):
                await connection.rollback()
                await anyio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - no secret
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield
