"""The database service on SQLAlchemy, but for what each database does its own way; extended by the backends."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from indiaai_core.errors import BackendUnavailable, Fault, IndiaAIError
from indiaai_db.engines import Engines, LoopEngines
from indiaai_db.errors import CommitUnknown, ReadOnlySession, TransactionConflict
from indiaai_db.service import DatabaseService

if TYPE_CHECKING:
    from indiaai_db.history import History

__all__ = ["SqlalchemyDatabaseService"]

ALEMBIC_INI = Path("alembic.ini")
"""Where the application's migrations are looked for, in the working directory."""

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.5


class _ReadOnlyOrmSession(Session):
    """A session whose unit of work refuses to write before a statement is sent; the database refuses the rest."""


@event.listens_for(_ReadOnlyOrmSession, "before_flush")
def _refuse_to_flush(*_: object) -> None:
    raise ReadOnlySession


class SqlalchemyDatabaseService(DatabaseService):
    """A database service on engines of SQLAlchemy.

    A backend's author gives the engines (`_create_engines`, `_create_migration_engine`), says what a driver's error means
    (`_explain`), and checks (`_check_connection`). Opening a connection must raise errors of indiaai-core, never a driver's:
    that is how a refused connection can be told from an error of the application's own.
    """

    _instance: str = ""
    """The named instance whose database this is; empty for the main one."""

    def __init__(self) -> None:
        """Hold what the engines will be made from; nothing connects yet."""
        self._engines = LoopEngines(self._create_engines)

    @abstractmethod
    def _create_engines(self) -> Engines:
        """Make the engines of one event loop, without connecting."""

    @abstractmethod
    def _create_migration_engine(self) -> AsyncEngine:
        """Make an engine without a pool, whose transactions may change the schema and roll that back."""

    @abstractmethod
    def _explain(self, error: DBAPIError, *, read_only: bool) -> IndiaAIError | None:
        """Return what to raise in place of a driver's error; None for those that are the application's."""

    @abstractmethod
    async def _check_connection(self) -> None:
        """Prove that the database can serve, by statements that wait for nobody."""

    def _migration_lock(self, engine: AsyncEngine) -> AbstractAsyncContextManager[None]:
        """Keep other processes from changing the schema; the default leaves it to the transaction itself."""
        return nullcontext()

    async def _reader(self, engines: Engines) -> AsyncEngine:
        """Choose the engine for a session that only reads."""
        return engines.reader

    async def _mark(self, session: AsyncSession, *, is_repeatable: bool) -> Any:
        """Ask, just before COMMIT, for what `_was_committed` needs to find the transaction again; None to do without.

        Args:
            session: The session, whose work may not be flushed yet.
            is_repeatable: Whether the transaction will be done again if it was rolled back.
        """
        return None

    async def _was_committed(self, mark: Any) -> bool | None:
        """Say whether a transaction whose COMMIT had no answer is there; None where that cannot be known."""
        return None

    def _note_commit(self) -> None:
        """Hear that this task committed what may be read from a replica next."""

    @property
    def locks_tables(self) -> bool:
        """Whether changing a large table keeps others from it for long, so that migrations are to be watched."""
        return False

    @property
    def engine(self) -> AsyncEngine:
        """The running loop's engine for transactions that may write."""
        return self._engines.current().writer

    @property
    def client(self) -> AsyncEngine:
        """The same as `engine`."""
        return self.engine

    def session(self, *, read_only: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that is one transaction; see the interface."""
        engines = self._engines.current()
        return self._transaction(None if read_only else engines.writer, read_only=read_only)

    async def run(
        self,
        function: Callable[[AsyncSession], Awaitable[T]],
        *,
        read_only: bool = False,
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call the function in one serializable transaction, again if it loses a conflict; see the interface."""
        engines = self._engines.current()
        engine = None if read_only else engines.serializable
        deadline = time.monotonic() + timeout_seconds
        attempts = 0
        while True:
            attempts += 1
            try:
                async with self._transaction(engine, read_only=read_only, is_repeatable=True) as session:
                    result = await function(session)
            except TransactionConflict as error:
                pause = _pause_seconds(attempts)
                if time.monotonic() + pause >= deadline:
                    raise TransactionConflict(
                        f"Gave up after {attempts} attempts within {timeout_seconds:g} s, each of which lost a conflict with "
                        f"another transaction; nothing was changed. Try again, or make the transaction shorter. {error}",
                        attempts=attempts,
                        retry_after=1.0,
                    ) from error
                await anyio.sleep(pause)
            else:
                return result

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Bring the schema to a revision with Alembic; see the interface."""
        from indiaai_db.migrations import upgrade

        await anyio.to_thread.run_sync(partial(upgrade, self, revision, config=Path(config)))

    async def migrate(self, work: Callable[[Connection], None]) -> None:
        """Call `work(connection)` while no other process changes the schema."""
        engine = self._create_migration_engine()
        try:
            async with self._migration_lock(engine), engine.connect() as connection:
                await connection.run_sync(work)
        finally:
            with anyio.CancelScope(shield=True):
                await engine.dispose()

    async def check(self) -> None:
        """Connect, and prove that the database can serve.

        Raises:
            BackendUnavailable: It does not answer, or does not take writes.
            ConfigurationError: It refuses to serve with these settings.
        """
        try:
            await self._check_connection()
        except SQLAlchemyError as error:
            reason = str(error).partition("\n")[0]
            raise self._explain_any(error, read_only=True) or BackendUnavailable(
                f"The database fails its check: {reason}"
            ) from error

    async def probe(self) -> None:
        """Check, and where the application's migrations are at hand (`alembic.ini`), that all of them have been run.

        Raises:
            ConfigurationError: Some have not.
        """
        await self.check()
        history = await self._history()
        if history is not None and history.pending and not history.unknown:
            raise history.to_be_run()

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a database that is ahead of the migrations at hand: a newer version of the application was here."""
        history = await self._history()
        return [history.ahead()] if history is not None and history.unknown else []

    async def _history(self) -> History | None:
        if self._instance:  # the application's migrations are those of the main database
            return None
        from indiaai_db.history import read_history

        return await read_history(self, ALEMBIC_INI)

    async def aclose(self) -> None:
        """Close all connections. Calling it again does nothing; a later use connects again."""
        await self._engines.aclose()

    @asynccontextmanager
    async def _transaction(
        self, engine: AsyncEngine | AsyncConnection | None, *, read_only: bool, is_repeatable: bool = False
    ) -> AsyncIterator[AsyncSession]:
        session = AsyncSession(
            engine or await self._reader(self._engines.current()),
            expire_on_commit=False,
            sync_session_class=_ReadOnlyOrmSession if read_only else Session,
            join_transaction_mode="create_savepoint",
        )
        is_closed = False
        try:
            yield session
            if read_only:
                if session.new or session.deleted or session.dirty:
                    await session.flush()  # so that what was added and would be dropped is refused instead
            else:
                await self._commit(session, is_repeatable=is_repeatable)
                is_closed = True
        except (SQLAlchemyError, OSError) as error:
            await _undo(session)
            explained = self._explain_any(error, read_only=read_only)
            if explained is None:
                raise
            raise explained from error
        finally:
            if not is_closed:
                await _close(session)

    async def _commit(self, session: AsyncSession, *, is_repeatable: bool) -> None:
        mark = await self._mark(session, is_repeatable=is_repeatable)
        try:
            await session.run_sync(_commit_and_close)
        except (SQLAlchemyError, OSError) as error:
            if not (isinstance(error, OSError) or getattr(error, "connection_invalidated", False)):
                raise
            await _undo(session)
            with anyio.CancelScope(shield=True):
                was_committed = None if mark is None else await self._was_committed(mark)
            if was_committed is None:
                raise CommitUnknown from error
            if not was_committed:
                lost = "The connection to the database was lost during COMMIT, and the transaction was rolled back."
                raise TransactionConflict(lost, retry_after=0.1) from error
        self._note_commit()

    def _explain_any(self, error: Exception, *, read_only: bool) -> IndiaAIError | None:
        if isinstance(error, PoolTimeoutError):
            return TransactionConflict(
                "No connection became free in time: others hold all of them, or a session was opened within another one, "
                "for which it waits. Close the outer one first, or raise the pool's size.",
                retry_after=1.0,
            )
        return self._explain(error, read_only=read_only) if isinstance(error, DBAPIError) else None


def _commit_and_close(session: Session) -> None:
    session.commit()
    session.close()  # at once: a greenlet of its own for it would cost as much as a small statement


async def _undo(session: AsyncSession) -> None:
    # Shielded: in a cancelled scope of anyio every await is cancelled again, and the connection would not come back.
    # A connection that is lost by now has nothing to undo: the server does so by itself.
    with anyio.CancelScope(shield=True), suppress(SQLAlchemyError, OSError):
        await session.rollback()


async def _close(session: AsyncSession) -> None:
    # The same: what was read was read, and what was committed is told apart by then.
    with anyio.CancelScope(shield=True), suppress(SQLAlchemyError, OSError):
        await session.close()


def _pause_seconds(attempts: int) -> float:
    # Full jitter: those that met once must not meet again.
    return random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10)))  # noqa: S311 - no secret
