"""Databases that migrate, check or close wrongly, each in one way; `breaks` is the promise that must notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from indiaai_db.errors import MigrationFailed
from indiaai_db.sqlite import SqliteDatabaseService

__all__: list[str] = []


class LeavesScaffolding(SqliteDatabaseService):
    """Leaves a table of its own behind."""

    breaks = "D22"

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate, and leave something at the head."""
        await super().upgrade(revision, config=config)
        if revision == "head":
            async with self.engine.begin() as connection:
                await connection.execute(text("CREATE TABLE IF NOT EXISTS scaffolding (id INTEGER)"))


class AlwaysToTheHead(SqliteDatabaseService):
    """Goes from a folder to the head, whatever revision is named."""

    breaks = "D23"

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate to the end."""
        await super().upgrade("head" if Path(config).is_dir() else revision, config=config)


class ContentWithNothing(SqliteDatabaseService):
    """Takes it that where no migrations are, none are to be run."""

    breaks = "D24"

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate, if there is something."""
        if Path(config).exists():
            await super().upgrade(revision, config=config)


class OneUpgradeAtATime(SqliteDatabaseService):
    """Fails where another one migrates."""

    breaks = "D25"
    is_migrating = False

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate, if nobody else does."""
        if self.is_migrating:
            raise MigrationFailed("Another one migrates.")
        self.is_migrating = True
        try:
            await super().upgrade(revision, config=config)
        finally:
            self.is_migrating = False


class KeepsHalf(SqliteDatabaseService):
    """Keeps what a failed migration had done to the data."""

    breaks = "D26"

    async def upgrade(self, revision: str = "head", *, config: str | Path = "alembic.ini") -> None:
        """Migrate, and keep half of it."""
        try:
            await super().upgrade(revision, config=config)
        except MigrationFailed:
            async with self.engine.begin() as connection:
                await connection.execute(text("UPDATE conformance_first SET name = 'changed'"))
            raise


class ChecksByWriting(SqliteDatabaseService):
    """Waits for writers to be checked."""

    breaks = "D27"

    async def _check_connection(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text("PRAGMA schema_version"))


class OneLoopOnly(SqliteDatabaseService):
    """Serves the event loop that came first."""

    breaks = "D28"
    loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def _transaction(self, *given: Any, **how: Any) -> AsyncIterator[AsyncSession]:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
        async with super()._transaction(*given, **how) as session:
            yield session


class LeavesATask(SqliteDatabaseService):
    """Goes on after it was closed."""

    breaks = "D29"
    left: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Close, and leave a task."""
        await super().aclose()
        self.left = asyncio.create_task(asyncio.sleep(60))


class EmptiesItself(SqliteDatabaseService):
    """Takes its data away as it is closed."""

    breaks = "D30"

    async def aclose(self) -> None:
        """Close, and remove the file."""
        await super().aclose()
        self._path.unlink(missing_ok=True)


class EngineOfNoLoop(SqliteDatabaseService):
    """Gives the last engine where no loop runs."""

    breaks = "D31"
    last: AsyncEngine | None = None

    @property
    def engine(self) -> AsyncEngine:
        """The running loop's engine, or any."""
        try:
            self.last = super().engine
        except RuntimeError:
            if self.last is None:
                raise
        return self.last
