"""One connection to an SQLite file: opened and set up so that several processes can share the file.

Imported by the service. All of it runs in the connection's own thread, so that no disk holds up the event loop.
"""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError
from indiaai_db.sqlite.beginning import primary_code
from indiaai_db.sqlite.driver import SqliteConnection, SqliteHandle

__all__ = ["Opener"]

WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""To what size the write-ahead log is cut back after a checkpoint."""


@dataclass(frozen=True, slots=True)
class Opener:
    """How connections of one kind are opened.

    Attributes:
        path: The file.
        synchronous: `NORMAL` or `FULL`.
        busy_timeout_seconds: How long to wait for another process.
        is_read_only: Whether SQLite is to refuse writes.
        has_foreign_keys: Whether foreign keys are enforced; migrations rebuild tables without.
        variable: The variable that names the file, for messages.
    """

    path: Path
    synchronous: str
    busy_timeout_seconds: float
    is_read_only: bool = False
    has_foreign_keys: bool = True
    variable: str = "SQLITE_DB_PATH"

    async def __call__(self) -> SqliteConnection:
        """Open a connection.

        Raises:
            ConfigurationError: The path cannot be a database.
            BackendUnavailable: The database cannot be opened now.
        """
        connection = SqliteConnection(self._open, self.path.with_name(f"{self.path.name}-line"))
        with anyio.CancelScope(shield=True):  # a cancelled opening would leave the handle behind, open
            try:
                await connection
            except BaseException:
                await connection.ended()
                raise
        return connection

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path,
                timeout=self.busy_timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
                factory=SqliteHandle,
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from error
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        self._use_wal(connection)
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        connection.execute("PRAGMA fullfsync=ON")  # on macOS a sync ends else when the bytes are in the disk's own cache
        connection.execute(f"PRAGMA foreign_keys={'ON' if self.has_foreign_keys else 'OFF'}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_SIZE_LIMIT_BYTES}")
        if self.is_read_only:
            connection.execute("PRAGMA query_only=ON")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # The change to WAL does not consult the busy timeout: processes that start together meet here.
        deadline = time.monotonic() + self.busy_timeout_seconds
        while True:
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    return
                if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                    raise self._misfit("its file system cannot keep a write-ahead log", "a path on a local disk")
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - no secret

    def _explain(self, error: Exception) -> IndiaAIError:
        code = primary_code(error)
        if isinstance(error, OSError) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            reason = getattr(error, "strerror", None) or str(error)
            if self.path.is_dir():
                reason = "it is a folder"
            return self._misfit(f"cannot be opened ({reason})", "the path of a file that can be made and written")
        if code == sqlite3.SQLITE_NOTADB:
            return self._misfit("is a file and no SQLite database", "the path of a database, or of no file yet")
        return BackendUnavailable(f"The SQLite database {self.path} cannot be opened now: {error}")

    def _misfit(self, found: str, expected: str) -> ConfigurationError:
        fault = Fault(self.variable, f"{self.path} {found}", expected)
        return ConfigurationError(f"{self.variable}={self.path}: {found}. Set it to {expected}.", faults=[fault])
