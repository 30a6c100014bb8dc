"""Databases whose transactions are wrong, each in one way; `breaks` is the promise that must notice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from indiaai_core.errors import IndiaAIError
from indiaai_db.engines import Engines
from indiaai_db.errors import TransactionConflict
from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.sqlite.connection import Opener
from indiaai_db.testing.tables import Account

__all__: list[str] = []

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]


class ForgetsTheRich(SqliteDatabaseService):
    """Drops a new account that is not empty."""

    breaks = "D01"

    @asynccontextmanager
    async def _transaction(self, *given: Any, is_repeatable: bool = False, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, is_repeatable=is_repeatable, **how) as session:
            if not is_repeatable:
                event.listen(session.sync_session, "before_flush", _drop_the_rich)
            yield session


def _drop_the_rich(session: Session, *_: object) -> None:
    for made in [made for made in session.new if isinstance(made, Account) and made.balance]:
        session.expunge(made)


class CommitsWhatFailed(SqliteDatabaseService):
    """Commits what a block did before an error that is no database's."""

    breaks = "D02"

    @asynccontextmanager
    async def _transaction(self, *given: Any, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, **how) as session:
            try:
                yield session
            except (SQLAlchemyError, IndiaAIError):
                raise
            except Exception:
                await session.commit()
                raise


class CommitsWhatWasCancelled(SqliteDatabaseService):
    """Commits what a cancelled block did."""

    breaks = "D03"

    @asynccontextmanager
    async def _transaction(self, *given: Any, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, **how) as session:
            try:
                yield session
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await session.commit()
                raise


class Expires(SqliteDatabaseService):
    """Takes what accounts hold away at the commit."""

    breaks = "D04"

    @asynccontextmanager
    async def _transaction(self, *given: Any, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, **how) as session:
            event.listen(session.sync_session, "after_commit", _expire_accounts)
            yield session


def _expire_accounts(session: Session) -> None:
    for held in [held for held in session if isinstance(held, Account)]:
        session.expire(held)


class ReadsZero(SqliteDatabaseService):
    """Reads a balance that is selected by itself as it was at first."""

    breaks = "D05"

    def _create_engines(self) -> Engines:
        engines = super()._create_engines()
        event.listen(engines.reader.sync_engine, "before_cursor_execute", _zero, retval=True)
        return engines


def _zero(_: object, __: object, statement: str, parameters: Any, *___: object) -> tuple[str, Any]:
    column = "SELECT conformance_account.balance "
    return statement.replace(column, "SELECT 0 * conformance_account.balance "), parameters


class DropsChangedObjects(SqliteDatabaseService):
    """Says nothing of objects that a read-only session changed."""

    breaks = "D06"

    @asynccontextmanager
    async def _transaction(self, *given: Any, read_only: bool, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, read_only=read_only, **how) as session:
            with session.no_autoflush:
                yield session
            if read_only:
                session.expunge_all()


class DropsWhatWasWritten(SqliteDatabaseService):
    """Lets a read-only session's statements write, and rolls them back."""

    breaks = "D07"

    def _opener(self, *, is_read_only: bool = False, has_foreign_keys: bool = True) -> Opener:
        return super()._opener(is_read_only=False, has_foreign_keys=has_foreign_keys)


class ReadsWhatIsNotCommitted(SqliteDatabaseService):
    """Gives who reads the session of who writes."""

    breaks = "D08"
    writing: AsyncSession | None = None

    @asynccontextmanager
    async def _transaction(self, *given: Any, read_only: bool, **how: Any) -> AsyncIterator[AsyncSession]:
        if read_only and self.writing is not None:
            yield self.writing
            return
        async with super()._transaction(*given, read_only=read_only, **how) as session:
            self.writing = None if read_only else session
            try:
                yield session
            finally:
                self.writing = None


class ReadsAnew(SqliteDatabaseService):
    """Reads each statement of a session in a transaction of its own."""

    breaks = "D09"

    def _create_engines(self) -> Engines:
        engines = super()._create_engines()
        event.listen(engines.reader.sync_engine, "begin", _end)
        return engines


def _end(connection: Connection) -> None:
    cursor = connection.connection.cursor()
    cursor.execute("COMMIT")
    cursor.close()


class ReturnsNothing(SqliteDatabaseService):
    """Keeps what the function returned to itself."""

    breaks = "D10"

    async def run(self, function: Work[T], *, read_only: bool = False, timeout_seconds: float = 30.0) -> T:
        """Run, and return nothing."""
        await super().run(function, read_only=read_only, timeout_seconds=timeout_seconds)
        nothing: Any = None
        return nothing  # type: ignore[no-any-return]  # the fault itself


class UndoneError(Exception):
    """Ends a session that is to leave nothing."""


class LosesWhatRunsBeside(SqliteDatabaseService):
    """Undoes what `run` did while another one ran, and acknowledges it."""

    breaks = "D11"
    running = 0

    async def run(self, function: Work[T], *, read_only: bool = False, timeout_seconds: float = 30.0) -> T:
        """Run, and undo it where another one runs."""
        done: list[T] = []
        is_lost = self.running > 0
        self.running += 1

        async def work(session: AsyncSession) -> None:
            done.append(await function(session))
            if is_lost:
                raise UndoneError

        try:
            await super().run(work, read_only=read_only, timeout_seconds=timeout_seconds)
        except UndoneError:
            pass
        finally:
            self.running -= 1
        return done[-1]


class RepeatsWhatCannotSucceed(SqliteDatabaseService):
    """Calls a function again after the function's own error."""

    breaks = "D12"

    async def run(self, function: Work[T], *, read_only: bool = False, timeout_seconds: float = 30.0) -> T:
        """Run, twice if need be."""
        try:
            return await super().run(function, read_only=read_only, timeout_seconds=timeout_seconds)
        except IntegrityError:
            return await super().run(function, read_only=read_only, timeout_seconds=timeout_seconds)


class GivesUpAtOnce(SqliteDatabaseService):
    """Raises the first conflict."""

    breaks = "D13"

    async def run(self, function: Work[T], *, read_only: bool = False, timeout_seconds: float = 30.0) -> T:
        """Run once, and say nothing of attempts."""
        try:
            return await super().run(function, read_only=read_only, timeout_seconds=0)
        except TransactionConflict as error:
            raise TransactionConflict("Lost a conflict.") from error


class OverwritesUnseen(SqliteDatabaseService):
    """Undoes what a session did while others were open, and acknowledges it."""

    breaks = "D14"
    opened = 0

    @asynccontextmanager
    async def _transaction(
        self, *given: Any, read_only: bool, is_repeatable: bool = False, **how: Any
    ) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, read_only=read_only, is_repeatable=is_repeatable, **how) as session:
            is_judged = not (read_only or is_repeatable)
            is_lost = is_judged and self.opened > 0
            self.opened += is_judged
            try:
                yield session
            finally:
                self.opened -= is_judged
            if is_lost:
                await session.rollback()


class RefersToNothing(SqliteDatabaseService):
    """Does not look where a row refers to."""

    breaks = "D15"

    def _opener(self, *, is_read_only: bool = False, has_foreign_keys: bool = True) -> Opener:
        return super()._opener(is_read_only=is_read_only, has_foreign_keys=False)
