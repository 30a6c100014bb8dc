"""Alembic, run as this layer needs it; imported by an application's `env.py`, and by services when they upgrade.

An application's whole `migrations/env.py` is:

    from indiaai_db.migrations import run
    from models import Base

    run(Base.metadata)

The URL comes from the platform's settings, all migrations of one command are one transaction on every dialect, one
process at a time migrates, and the migrations of plugins (entry points of the group `indiaai.migrations`) belong to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeEngine

from indiaai_core.discovery import catalogue
from indiaai_core.errors import ConfigurationError, Fault, IndiaAIError
from indiaai_db.errors import MigrationFailed
from indiaai_db.factory import get_database_service
from indiaai_db.service import DatabaseService

__all__ = ["MIGRATIONS_GROUP", "new_config", "run", "run_command", "upgrade", "write_folder"]

MIGRATIONS_GROUP = "indiaai.migrations"
"""The entry-point group in which plugins bring migrations; name: the prefix of their tables; object: their package."""

_SERVICE = "indiaai_database_service"

_ALEMBIC_INI = """\
# Where `alembic` and `indiaai db` find the migrations. The database's URL is not here: DATABASE_TYPE and the backend's own
# variables say which database it is.
[alembic]
script_location = %(here)s/{folder}
prepend_sys_path = .
path_separator = os
"""

_ENV_PY = """\
from indiaai_db.migrations import run

# Import your models' metadata and pass it: run(Base.metadata).
run(None)
"""

# Alembic keeps what it works on in module globals: in one process one command at a time.
_alembic_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Plugin:
    """Migrations that a plugin brings: `prefix` starts the names of its tables, `folder` holds its revisions."""

    prefix: str
    folder: str

    def owns(self, table: str | None) -> bool:
        return table is not None and (table == self.prefix or table.startswith(f"{self.prefix}_"))


def run(target_metadata: MetaData | None = None, **options: Any) -> None:
    """Do what the Alembic command that is under way asks for; the one call of an application's `env.py`.

    Args:
        target_metadata: The models' metadata, which `--autogenerate` and `check` compare the database with.
        options: More options for Alembic's `context.configure`, such as `compare_server_default=True`.
    """
    _set_up_logging(context.config)
    service: DatabaseService = context.config.attributes.get(_SERVICE) or get_database_service()
    plugins = _find_plugins()
    script = context.script
    own_folders = [str(folder) for folder in script._version_locations]
    script.version_locations = [*own_folders, *(plugin.folder for plugin in plugins)]
    script.__dict__.pop("_version_locations", None)
    chosen = _options(script, plugins, own_folders, target_metadata) | options
    if context.is_offline_mode():
        context.configure(dialect_name=service.dialect_name, literal_binds=True, **chosen)
        with context.begin_transaction():
            context.run_migrations()
        return

    def work(connection: Connection) -> None:
        context.configure(connection=connection, **chosen)
        with context.begin_transaction():
            context.run_migrations()

    _wait_for(service.migrate(work))


def upgrade(service: DatabaseService, revision: str, *, config: Path) -> None:
    """Bring a service's database to a revision. Blocks: call it in a thread; see `DatabaseService.upgrade`.

    Args:
        service: The service.
        revision: The revision.
        config: An `alembic.ini`, or a folder of migrations.
    """
    run_command("upgrade", config, revision, service=service)


def run_command(name: str, path: Path, *arguments: Any, service: DatabaseService | None = None) -> None:
    """Run one of Alembic's commands, or `init`, and raise this product's errors.

    Args:
        name: The command's name.
        path: The application's `alembic.ini`, or its folder of migrations.
        arguments: The command's own.
        service: The service whose database is meant; the platform's where None.

    Raises:
        MigrationFailed: A migration raised; the schema is what it was.
        ConfigurationError: There is nothing to run, or the history does not fit the database.
    """
    try:
        with _alembic_lock:
            if name == "init":
                write_folder(path, *arguments)
                return
            config = new_config(path)
            config.attributes[_SERVICE] = service
            getattr(command, name)(config, *arguments)
    except IndiaAIError:
        raise
    except CommandError as error:
        raise _explain(error, path) from error
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise MigrationFailed(
            f"`{name}` failed, and the schema is what it was before: {type(error).__name__}: {reason}"
        ) from error


def new_config(path: Path) -> Config:
    """Return Alembic's configuration from an `alembic.ini`, or for a folder of migrations itself.

    Raises:
        ConfigurationError: There is neither.
    """
    if path.is_dir():
        config = Config()
        config.set_main_option("script_location", str(path.absolute()).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        return config
    if not path.is_file():
        expected = "an alembic.ini or a folder of migrations"
        raise ConfigurationError(
            f"There are no migrations to run: {path.absolute()} does not exist. Start in the folder of alembic.ini, "
            "give its path as `config`, or make it with `indiaai db init`.",
            faults=[Fault(str(path), "not there", expected, "indiaai db init")],
        )
    return Config(path)


def write_folder(path: Path, folder: Path) -> None:
    """Write an `alembic.ini` and a folder of migrations for it; what is there already is left as it is.

    Args:
        path: The file to write.
        folder: The folder to make.
    """
    import alembic

    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    for target, content in {
        path: _ALEMBIC_INI.format(folder=folder.as_posix()),
        folder / "env.py": _ENV_PY,
        folder / "script.py.mako": template.read_text("utf-8"),
    }.items():
        if not target.exists():
            target.write_text(content, "utf-8")


def _find_plugins() -> list[_Plugin]:
    plugins = []
    for registration in catalogue().in_group(MIGRATIONS_GROUP):
        package = cast(Any, registration.load())
        plugins.append(_Plugin(registration.name.replace("-", "_"), next(iter(package.__path__))))
    return plugins


def _options(
    script: ScriptDirectory, plugins: list[_Plugin], own_folders: list[str], metadata: MetaData | None
) -> dict[str, Any]:
    def is_ours(item: Any, name: str | None, kind: str, is_reflected: bool, compared: Any) -> bool:
        table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
        return not (is_reflected and compared is None and any(plugin.owns(table) for plugin in plugins))

    def put_in_own_branch(_: Any, __: Any, directives: list[Any]) -> None:
        if plugins and directives:
            directives[0].head = _own_head(script, own_folders)
            directives[0].version_path = own_folders[0]

    options: dict[str, Any] = {
        "target_metadata": metadata,
        "render_as_batch": True,
        "transactional_ddl": True,
        "compare_type": True,
        "include_object": is_ours,
        "render_item": _render_item,
        "process_revision_directives": put_in_own_branch,
    }
    asked = context._proxy.context_opts  # type: ignore[attr-defined]  # Alembic has no public way to what `head` means
    if asked.get("destination_rev") == "head" and getattr(asked.get("fn"), "__name__", "") == "upgrade":
        options["fn"] = lambda revision, _: script._upgrade_revs("heads", revision)
    return options


def _own_head(script: ScriptDirectory, own_folders: list[str]) -> str:
    own = [revision for revision in script.get_heads() if str(Path(script.get_revision(revision).path).parent) in own_folders]
    return own[0] if own else "base"


def _render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    if kind == "type" and isinstance(item, TypeEngine) and type(item).__module__.startswith("indiaai_db."):
        autogen_context.imports.add("import indiaai_db")
        return f"indiaai_db.{item!r}"
    return False


def _wait_for(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, in a thread of its own where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _set_up_logging(config: Config) -> None:
    from logging.config import fileConfig

    if config.cmd_opts is not None and config.config_file_name and config.file_config.has_section("loggers"):
        fileConfig(config.config_file_name, disable_existing_loggers=False)


def _explain(error: CommandError, config: Path) -> ConfigurationError:
    text = str(error)
    advice = "Run `alembic history` and `alembic current` to see both."
    if "Can't locate revision" in text:
        advice = (
            "The database was migrated by a newer version of the application, or by a plugin that is not installed any more: "
            "install that, or restore the database that belongs to this version."
        )
    elif "Path doesn't exist" in text:
        advice = f"Set script_location in {config} to the folder of migrations, as %(here)s/migrations."
    return ConfigurationError(
        f"The migrations cannot be run: {text}. {advice}", faults=[Fault(str(config), text, "a history that fits", advice)]
    )
