"""Which of the migrations at hand a database has had; imported by services when they are probed, for it loads Alembic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from indiaai_core.errors import ConfigurationError, Fault
from indiaai_db.borders import find_plugins
from indiaai_db.migrations import add_folders, new_config
from indiaai_db.service import DatabaseService

__all__ = ["History", "read_history"]


@dataclass(frozen=True, slots=True)
class History:
    """Where a database is in a history of migrations.

    Attributes:
        config: The `alembic.ini` that says where they are.
        current: The revisions that the database is at; none for one that was never migrated.
        heads: Those that it should be at.
        unknown: Those of `current` that are not among the migrations at hand.
    """

    config: Path
    current: tuple[str, ...]
    heads: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def pending(self) -> bool:
        """Whether there are migrations that have not been run."""
        return set(self.current) != set(self.heads)

    @property
    def place(self) -> str:
        """Where the database is, in words."""
        return _named(self.current)

    def to_be_run(self) -> ConfigurationError:
        """Return the error that names the command which runs what is pending."""
        found = f"the database is at {self.place}, and the migrations go on to {_named(self.heads)}"
        fault = Fault(f"{self.config}", found, "a database that has had all migrations", "indiaai db upgrade")
        return ConfigurationError(f"Migrations are pending. {fault}.", faults=[fault])

    def ahead(self) -> Fault:
        """Return what to tell of a database that is ahead."""
        found = f"the database is at {_named(self.unknown)}, which is not among the migrations here"
        remedy = "install the version of the application, or the plugin, that ran it"
        return Fault(f"{self.config}", found, "the migrations that the database has had", remedy)


async def read_history(service: DatabaseService, config: Path) -> History | None:
    """Compare a database with the migrations at hand; no file of theirs but the revisions is run.

    Args:
        service: The service of the database.
        config: The application's `alembic.ini`.

    Returns:
        What came of it; None where no migrations are at hand.

    Raises:
        ConfigurationError: The migrations cannot be read.
        BackendUnavailable: The database does not answer.
    """
    if not await anyio.to_thread.run_sync(config.exists):
        return None
    async with service.session(read_only=True) as session:
        current = await (await session.connection()).run_sync(_current)
    try:
        heads, known = await anyio.to_thread.run_sync(_revisions, config)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        fault = Fault(f"{config}", f"the migrations cannot be read ({reason})", "a history that fits", "alembic history")
        raise ConfigurationError(f"{fault}.", faults=[fault]) from error
    return History(config, current, heads, tuple(revision for revision in current if revision not in known))


def _current(connection: Connection) -> tuple[str, ...]:
    return tuple(MigrationContext.configure(connection).get_current_heads())


def _revisions(path: Path) -> tuple[tuple[str, ...], set[str]]:
    config = new_config(path)
    script = ScriptDirectory.from_config(config)
    add_folders(script, find_plugins())
    return tuple(script.get_heads()), {revision.revision for revision in script.walk_revisions()}


def _named(revisions: Sequence[str]) -> str:
    return " and ".join(sorted(revisions)) or "no revision"
