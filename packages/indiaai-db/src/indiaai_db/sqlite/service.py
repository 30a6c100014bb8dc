"""The database service on an SQLite file; selected by `DATABASE_TYPE=sqlite`, the default."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool
from sqlalchemy.util import await_only

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError
from indiaai_core.mounts import forgetful_mount
from indiaai_db.backend import SqlalchemyDatabaseService
from indiaai_db.engines import Engines, shield_termination
from indiaai_db.errors import MigrationFailed, ReadOnlySession, TransactionConflict
from indiaai_db.sqlite.adapter import AdaptedConnection
from indiaai_db.sqlite.beginning import primary_code
from indiaai_db.sqlite.connection import Opener
from indiaai_db.sqlite.driver import SqliteConnection
from indiaai_db.sqlite.settings import SqliteSettings
from indiaai_db.types import dump_json

__all__ = ["SqliteDatabaseService"]

MIGRATION_WAIT_SECONDS = 600.0
"""How long a process waits for another one that migrates."""


class SqliteDatabaseService(SqlalchemyDatabaseService):
    """Transactions on one SQLite file, which any number of processes of one machine may share.

    In each event loop one connection writes and up to `SQLITE_READERS` read; each has a thread. Transactions that may write
    begin with BEGIN IMMEDIATE and so come one after the other, over all processes: none fails halfway for a lock.
    """

    contract_version: ClassVar[int] = 1
    settings_class = SqliteSettings
    dialect_name: ClassVar[str] = "sqlite"

    def __init__(self, settings: SqliteSettings | None = None) -> None:
        """Hold the settings; the file and its folder are made at first use.

        Args:
            settings: The settings; read from the environment where None.
        """
        super().__init__()
        self._settings = settings or SqliteSettings()
        self._instance = self._settings.instance
        self._path = self._settings.db_path.absolute()  # a later change of the working directory changes nothing
        self._file: tuple[int, int] | None = None

    def __repr__(self) -> str:
        """Name the file."""
        return f"<SqliteDatabaseService {str(self._path)!r}>"

    async def aclose(self) -> None:
        """Close all connections, and forget which file they were to."""
        await super().aclose()
        self._file = None

    def _create_engines(self) -> Engines:
        if self._engines.was_forked_in_use:
            raise ConfigurationError(
                f"This process was forked while its parent had a transaction open on {self._path}, and SQLite takes the "
                "parent's lock for its own: it would wait for ever. Fork before the first use, or start processes by spawn."
            )
        wait = self._settings.busy_timeout_seconds
        pooled = partial(self._new_engine, poolclass=AsyncAdaptedQueuePool, max_overflow=0, pool_timeout=wait)
        # One writing connection: who waits in this process waits in turn in the pool, and not by polling the file.
        writer = pooled(self._opener(), self._immediate(wait), pool_size=1)
        reader = pooled(self._opener(is_read_only=True), SqliteConnection.begin_deferred, pool_size=self._settings.readers)
        return Engines(writer=writer, reader=reader, serializable=writer)

    def _create_migration_engine(self) -> AsyncEngine:
        # The transaction is the lock: it is one for all migrations, and ends with the process whatever happens to that.
        begin = self._immediate(MIGRATION_WAIT_SECONDS)
        engine = self._new_engine(self._opener(has_foreign_keys=False), begin, poolclass=NullPool)
        event.listen(engine.sync_engine, "commit", _check_foreign_keys)
        return engine

    def _new_engine(self, opener: Opener, begin: Callable[[SqliteConnection], None], **options: Any) -> AsyncEngine:
        def connect(dialect: Any, *_: Any) -> AdaptedConnection:
            self._require_file()  # or SQLite would make a new one
            return AdaptedConnection(dialect.dbapi, cast(Any, await_only(opener())))

        def begin_transaction(connection: Connection) -> None:
            self._require_file()
            begin(cast(Any, connection.connection.driver_connection))

        engine = create_async_engine("sqlite+aiosqlite:///file", json_serializer=dump_json, **options)
        event.listen(engine.sync_engine, "do_connect", connect)
        event.listen(engine.sync_engine, "begin", begin_transaction)
        shield_termination(engine, SqliteConnection.close)
        return engine

    def _require_file(self) -> None:
        # SQLite goes on with a file that has lost its name, and all that is committed goes with it.
        file = None
        try:
            found = os.stat(self._path)
            file = found.st_dev, found.st_ino
        except OSError as error:
            if self._file and not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise BackendUnavailable(
                    f"The SQLite database {self._path} cannot be looked at: {error.strerror}. It is used again once it can."
                ) from error
        if self._file is None:
            self._file = file
        elif self._file != file:
            raise BackendUnavailable(
                f"The SQLite database {self._path} was {'replaced' if file else 'deleted'} while it was in use. Stop all that "
                "use it, put the right file there, with no `-wal` beside it but its own, and start again."
            )

    def _immediate(self, wait: float) -> Callable[[SqliteConnection], None]:
        return lambda it: it.begin_immediate(timeout_seconds=wait, busy_timeout_seconds=self._settings.busy_timeout_seconds)

    def _opener(self, *, is_read_only: bool = False, has_foreign_keys: bool = True) -> Opener:
        settings, how = self._settings, {"is_read_only": is_read_only, "has_foreign_keys": has_foreign_keys}
        variable = settings.variables("SQLITE_DB_PATH")
        return Opener(self._path, settings.synchronous, settings.busy_timeout_seconds, variable=variable, **how)

    def _explain(self, error: DBAPIError, *, read_only: bool) -> IndiaAIError | None:
        code = primary_code(error.orig)
        if code == sqlite3.SQLITE_READONLY and read_only:
            return ReadOnlySession()
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return TransactionConflict("Another connection kept the SQLite database locked.", retry_after=1.0)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            return BackendUnavailable(f"The SQLite database {self._path} cannot be used now: {error.orig}")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return BackendUnavailable(f"The SQLite database {self._path} is damaged: {error.orig}. Restore it from a backup.")
        return None

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a file in memory, too, which a restart takes away; see `SqlalchemyDatabaseService.caveats`."""
        found, mount = await super().caveats(), forgetful_mount(self._path)
        if mount is None:
            return found
        forgets = f"{self._path} is in memory: a restart of this machine empties {mount}"
        return [*found, Fault("SQLITE_DB_PATH", forgets, "a file on a disk", "set SQLITE_DB_PATH to one")]

    async def _check_connection(self) -> None:
        async with self._engines.current().reader.connect() as connection:
            await connection.execute(text("PRAGMA schema_version"))


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        raise MigrationFailed(f"After the migration {len(broken)} rows of {tables} refer to rows that are not there.")
