"""A database on which a test leaves no trace; imported by the fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import anyio
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from indiaai_db.backend import SqlalchemyDatabaseService
from indiaai_db.service import DatabaseService

__all__ = ["RolledBackDatabase"]

T = TypeVar("T")

_is_within: ContextVar[bool] = ContextVar("indiaai_db_within_session", default=False)


class RolledBackDatabase(DatabaseService):
    """Sessions on another service's database, all of them in one transaction that is rolled back in the end.

    Each session is a savepoint of that transaction: it sees what others before it committed, an error rolls back what it
    did and no more, and no other connection ever sees any of it. They have one connection between them, so one of them waits
    for another's end; a session that is opened inside another one joins it as a savepoint of its own.

    What it cannot show is what needs several connections: conflicts, and what a read-only session does not see yet.
    """

    def __init__(self, service: SqlalchemyDatabaseService, connection: AsyncConnection) -> None:
        """Hold a connection whose transaction has begun; `opened` is the way to one."""
        self.dialect_name = service.dialect_name  # type: ignore[misc]  # the class variable of each backend, here of whichever it is
        self._service = service
        self._connection = connection
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, service: SqlalchemyDatabaseService) -> AsyncIterator[RolledBackDatabase]:
        """Begin a transaction, and roll it back at the end of the block."""
        async with service.engine.connect() as connection:
            transaction = await connection.begin()
            try:
                yield cls(service, connection)
            finally:
                with anyio.CancelScope(shield=True):
                    await transaction.rollback()

    @property
    def engine(self) -> AsyncEngine:
        """The engine of the database itself: what it writes is not rolled back."""
        return self._service.engine

    def session(self, *, read_only: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that is a savepoint."""
        return self._session(read_only=read_only)

    async def run(
        self,
        function: Callable[[AsyncSession], Awaitable[T]],
        *,
        read_only: bool = False,
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call the function once: there is nobody to lose a conflict to."""
        async with self._session(read_only=read_only) as session:
            return await function(session)

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate the database itself: migrations are not rolled back."""
        await self._service.upgrade(revision, config=config)

    async def migrate(self, work: Callable[[Connection], None]) -> None:
        """Change the schema of the database itself."""
        await self._service.migrate(work)

    async def check(self) -> None:
        """Prove that the database can serve."""
        await self._service.check()

    async def aclose(self) -> None:
        """Do nothing: the transaction ends with the block of `opened`."""

    @asynccontextmanager
    async def _session(self, *, read_only: bool) -> AsyncIterator[AsyncSession]:
        is_outermost = not _is_within.get()
        if is_outermost:
            await self._turn.acquire()
        token = _is_within.set(True)
        try:
            async with self._service._transaction(self._connection, read_only=read_only) as session:
                yield session
        finally:
            _is_within.reset(token)
            if is_outermost:
                self._turn.release()
