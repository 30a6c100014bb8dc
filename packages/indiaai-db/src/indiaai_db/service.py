"""The interface of the database layer; imported by applications for its types and by every database backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from indiaai_core.layers import Service

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

__all__ = ["DatabaseService"]

T = TypeVar("T")


class DatabaseService(Service):
    """Transactions on one database, through SQLAlchemy's asynchronous sessions.

    One instance may be shared by all tasks of an event loop, by several loops, each of which gets connections of its own,
    and by a process and its forks. A session belongs to one task. Nothing connects before the first statement.

    A backend for a database that SQLAlchemy knows extends `SqlalchemyDatabaseService`, which is all of this but the
    engines. The numbers are those of the promises in `indiaai_db.testing.DatabaseConformance`.

    Attributes:
        dialect_name: SQLAlchemy's name of the dialect, such as `sqlite`: what migrations are written for.
    """

    contract_version: ClassVar[int] = 1
    dialect_name: ClassVar[str]

    @property
    @abstractmethod
    def engine(self) -> AsyncEngine:
        """The engine of the running event loop, for what sessions do not cover; the service closes it.

        Raises:
            RuntimeError: There is no running event loop.
        """

    @abstractmethod
    def session(self, *, read_only: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that is one transaction: committed at the end of the block (D01), rolled back on an error (D02).

        The transaction sees one snapshot (D09), and never overwrites unseen what another changed meanwhile: it then ends
        with `TransactionConflict` (D14), after which all of the block may be done again, as `run` does. Objects stay
        readable after the block (D04). A cancelled block leaves nothing behind and gives its connection back (D03).

        Args:
            read_only: Nothing will be written: such a session waits for no writer (D08), may be given a replica and
                refuses every write with `ReadOnlySession` (D06, D07). After a commit the same task reads what it wrote.

        Raises:
            TransactionConflict: The transaction lost a conflict, or another one held the database for too long.
            ReadOnlySession: A read-only session was asked to write.
            CommitUnknown: The connection was lost during COMMIT.
            BackendUnavailable: The database does not answer; nothing was committed.
            ConfigurationError: It refuses to serve with these settings.
            sqlalchemy.exc.SQLAlchemyError: What is wrong with a statement (`IntegrityError`, …), as SQLAlchemy says it.
        """

    @abstractmethod
    async def run(
        self,
        function: Callable[[AsyncSession], Awaitable[T]],
        *,
        read_only: bool = False,
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call `function(session)` in one serializable transaction, again if it loses a conflict, and return its result.

        Transactions that are run so behave as if one came after the other: a value that is read, changed and written
        loses no update (D11). As the function may be called several times, it must do nothing but use the session.
        An error of its own is not retried (D12).

        Args:
            function: What to do with the session; its result must not need the session.
            read_only: As for `session`.
            timeout_seconds: How long to go on trying; the attempt under way is never cut off.

        Raises:
            TransactionConflict: It lost until the time was over; it says how often it tried (D13).
            CommitUnknown: The connection was lost during COMMIT, and what became of it is not known: this is never retried.
            BackendUnavailable: The database does not answer.
        """

    @abstractmethod
    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Bring the schema to a revision with Alembic: the application's migrations and those that plugins bring.

        Any number of processes may do so at once: one does it, the others wait for it (D25). It is one transaction: after
        a failure the schema is what it was (D26). It runs in a thread and does not hold up the event loop.

        Args:
            revision: The revision; `head` means all heads.
            config: The application's `alembic.ini`, or its folder of migrations itself.

        Raises:
            MigrationFailed: A migration raised; it is the cause.
            ConfigurationError: There is no such file or folder, or the history does not fit the database.
            BackendUnavailable: The database does not answer.
        """

    @abstractmethod
    async def migrate(self, work: Callable[[Connection], None]) -> None:
        """Call `work(connection)` with a connection for changing the schema, while no other process does so.

        Made for `indiaai_db.migrations`. The connection is outside of any pool; the work begins and commits.
        """
