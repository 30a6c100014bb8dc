"""Sessions of ours and of plain SQLAlchemy, and the statements that all of them do.

Imported by `database` and by the processes of its contenders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from indiaai_db import Base, DatabaseService
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings

__all__ = [
    "CONTENDERS",
    "DEFAULTS",
    "PREPARED",
    "ROWS",
    "SAME",
    "SAME_PREPARED",
    "STATEMENTS",
    "SYNC",
    "US",
    "WRITERS",
    "Account",
    "Sessions",
    "prepare",
]

US, PREPARED = "indiaai", "indiaai, prepared"
SAME, SAME_PREPARED, DEFAULTS = "SQLAlchemy, same settings", "SQLAlchemy, prepared", "SQLAlchemy, defaults"
SYNC = "SQLAlchemy, sync, same settings"
ROWS = 1000
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000")


class Account(Base):
    """A row with a balance."""

    __tablename__ = "bench_account"

    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)
    name: Mapped[str] = mapped_column(default="somebody")


class Sessions(ABC):
    """What gives sessions on one database."""

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that reads."""

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that is committed at its end."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""


class OurSessions(Sessions):
    """A service's sessions."""

    def __init__(self, service: DatabaseService) -> None:
        """Hold the service."""
        self._service = service

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a read-only session."""
        return self._service.session(read_only=True)

    def writing(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session."""
        return self._service.session()

    async def aclose(self) -> None:
        """Close the service."""
        await self._service.aclose()


class PlainSessions(Sessions):
    """Sessions as SQLAlchemy's documentation makes them."""

    def __init__(self, engine: AsyncEngine, **for_readers: Any) -> None:
        """Hold the engine, and the execution options of what only reads."""
        self._engine = engine
        self._writers = async_sessionmaker(engine, expire_on_commit=False)
        self._readers = async_sessionmaker(engine.execution_options(**for_readers), expire_on_commit=False)

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session."""
        return self._readers()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Open a session and its transaction."""
        async with self._writers() as session, session.begin():
            yield session

    async def aclose(self) -> None:
        """Dispose of the engine."""
        await self._engine.dispose()


class SyncSessions(Sessions):
    """Sessions on SQLAlchemy's synchronous engine, which block the event loop: what SQLAlchemy itself takes."""

    def __init__(self, engine: Engine) -> None:
        """Hold the engine."""
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        """Open a session."""
        with self._sessions() as session:
            yield _Unhurried(session)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Any]:
        """Open a session and its transaction."""
        with self._sessions.begin() as session:
            yield _Unhurried(session)

    async def aclose(self) -> None:
        """Dispose of the engine."""
        self._engine.dispose()


class _Unhurried:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def get_one(self, entity: Any, key: int) -> Any:
        return self._session.get_one(entity, key)


def _our_sqlite(where: str) -> Sessions:
    return OurSessions(SqliteDatabaseService(SqliteSettings(db_path=Path(where))))


def _sqlite(where: str) -> Sessions:
    return PlainSessions(create_async_engine(f"sqlite+aiosqlite:///{where}"))


def _sqlite_same(where: str) -> Sessions:
    engine = create_async_engine(f"sqlite+aiosqlite:///{where}")
    _listen(engine.sync_engine)
    return PlainSessions(engine, begin="BEGIN")


def _sqlite_sync(where: str) -> Sessions:
    engine = create_engine(f"sqlite:///{where}")
    _listen(engine)
    return SyncSessions(engine)


def _listen(engine: Engine) -> None:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))


def _our_postgresql(where: str, **settings: Any) -> Sessions:
    return OurSessions(PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(where), **settings)))


def _postgresql(where: str, **options: Any) -> Sessions:
    engine = create_async_engine(make_url(where).set(drivername="postgresql+asyncpg"), **options)
    return PlainSessions(engine, postgresql_readonly=True) if options else PlainSessions(engine)


def _postgresql_same(where: str, **options: Any) -> Sessions:
    safe = {"pool_size": 10, "max_overflow": 0, "pool_pre_ping": True, "isolation_level": "REPEATABLE READ"}
    return _postgresql(where, **safe, **options)


_WITHOUT_STATEMENTS = {"connect_args": {"statement_cache_size": 0, "prepared_statement_name_func": str}}

CONTENDERS: Mapping[str, Mapping[str, Callable[[str], Sessions]]] = {
    "sqlite": {US: _our_sqlite, SAME: _sqlite_same, DEFAULTS: _sqlite},
    "postgresql": {
        US: _our_postgresql,
        PREPARED: lambda where: _our_postgresql(where, prepared_statements=True),
        SAME: lambda where: _postgresql_same(where, **_WITHOUT_STATEMENTS),
        SAME_PREPARED: _postgresql_same,
        DEFAULTS: _postgresql,
    },
}
"""What makes each contender's sessions, from a path or a URL. `same settings` is what ours sets, set by hand."""

WRITERS = {US: _our_sqlite, SAME: _sqlite_same, SYNC: _sqlite_sync, DEFAULTS: _sqlite}
"""The same of those that write in processes of their own, where it is no matter that an event loop is blocked."""


async def _get(sessions: Sessions, number: int) -> None:
    async with sessions.reading() as session:
        await session.get(Account, number % ROWS + 1)


async def _insert(sessions: Sessions, _: int) -> None:
    async with sessions.writing() as session:
        session.add(Account())


async def _change(sessions: Sessions, number: int) -> None:
    async with sessions.writing() as session:
        account = await session.get_one(Account, number % ROWS + 1)
        account.balance += 1


STATEMENTS: Mapping[str, Callable[[Sessions, int], Any]] = {"get": _get, "insert": _insert, "change": _change}
"""What is done in one session: a row read by its key, one added, one read and changed."""


async def prepare(sessions: Sessions) -> None:
    """Make the table and its rows."""
    async with sessions.writing() as session:
        connection = await session.connection()
        await connection.run_sync(Base.metadata.tables[Account.__tablename__].create)
        session.add_all(Account(id=number) for number in range(1, ROWS + 1))
        await session.flush()
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql(f"SELECT setval('bench_account_id_seq', {ROWS})")
