"""Whose tables are whose: the application's, and those of plugins that bring migrations; imported by the migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import inspect

from indiaai_core.discovery import catalogue
from indiaai_core.errors import PluginConflict
from indiaai_db.errors import MigrationFailed

__all__ = ["MIGRATIONS_GROUP", "MigrationPlugin", "find_plugins", "keep_borders"]

MIGRATIONS_GROUP = "indiaai.migrations"
"""The entry-point group in which plugins bring migrations; name: the prefix of their tables; object: their package."""

Steps = Callable[[Any, Any], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class MigrationPlugin:
    """Migrations that a plugin brings: `prefix` starts the names of its tables, `folder` holds its revisions."""

    prefix: str
    folder: str

    def owns(self, table: str | None) -> bool:
        """Tell whether a table is called as this plugin's are."""
        return table is not None and (table == self.prefix or table.startswith(f"{self.prefix}_"))


def find_plugins() -> list[MigrationPlugin]:
    """Return the migrations that installed plugins bring.

    Raises:
        PluginConflict: Two distributions claim one prefix.
    """
    plugins: dict[str, tuple[MigrationPlugin, str]] = {}
    for registration in catalogue().in_group(MIGRATIONS_GROUP):
        prefix = registration.name.replace("-", "_")
        if prefix in plugins:
            claimants = sorted({plugins[prefix][1], registration.distribution})
            raise PluginConflict(MIGRATIONS_GROUP, prefix, distributions=claimants, variable=prefix)
        package = cast(Any, registration.load())
        plugins[prefix] = MigrationPlugin(prefix, next(iter(package.__path__))), registration.distribution
    return [plugin for plugin, _ in plugins.values()]


def keep_borders(choose: Steps, plugins: Sequence[MigrationPlugin]) -> Steps:
    """Wrap what gives Alembic its steps, so that a revision that makes a table of somebody else's fails.

    Two that make tables of one name would otherwise collide one day, and `--autogenerate` would drop what nobody claims.
    """
    if not plugins:
        return choose

    def kept(heads: Any, migration_context: Any) -> Iterator[Any]:
        connection = migration_context.connection
        before = _tables(connection)
        for step in choose(heads, migration_context):
            yield step  # and Alembic has done it when it asks for the next one
            after = _tables(connection)
            _check(step, after - before, plugins)
            before = after

    return kept


def _tables(connection: Any) -> set[str]:
    return set() if connection is None else set(inspect(connection).get_table_names())  # none where SQL is only printed


def _check(step: Any, made: set[str], plugins: Sequence[MigrationPlugin]) -> None:
    script = getattr(step, "revision", None)
    if script is None:
        return
    folder = str(Path(script.path).parent)
    maker = next((plugin.prefix for plugin in plugins if plugin.folder == folder), None)
    for table in sorted(made - {"alembic_version"}):
        owners = [plugin.prefix for plugin in plugins if plugin.owns(table)]
        owner = max(owners, key=len, default=None)
        if owner == maker:
            continue
        who = f"of the plugin {maker!r}" if maker else "of the application"
        whose = f"that is a name of the plugin {owner!r}" if owner else f"its tables are called {maker} or {maker}_…"
        raise MigrationFailed(
            f"The revision {script.revision} {who} makes the table {table!r}, and {whose}; nothing was changed. Give the table "
            "another name."
        )
