"""The commands `indiaai db …`: Alembic's own and the outbox's, on the database that is selected; imported by the hook."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from indiaai_core.cli.logs import LogFormat, LogOption, start_log
from indiaai_core.cli.output import print_json, print_text
from indiaai_core.errors import IndiaAIError

__all__ = ["build_commands"]

Config = Annotated[Path, typer.Option("--config", help="The application's alembic.ini, or its folder of migrations.")]
Revision = Annotated[str, typer.Argument(help="A revision; `head` means all heads, `-1` the one before.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

ALEMBIC_INI = Path("alembic.ini")


def build_commands() -> typer.Typer:
    """Return the group of commands."""
    commands = typer.Typer(help="Migrate the database that DATABASE_TYPE selects.", no_args_is_help=True)
    for command in (_init, _upgrade, _downgrade, _current, _check, _revision, _relay, _copy):
        # Alembic's numbers of steps back begin with a dash.
        commands.command(command.__name__[1:], context_settings={"ignore_unknown_options": command is _downgrade})(command)
    return commands


def _init(
    folder: Annotated[Path, typer.Argument(help="The folder of migrations to make.")] = Path("migrations"),
    *,
    json: Json = False,
) -> None:
    """Make an alembic.ini and a folder of migrations here; what is there already stays as it is."""
    _run("init", ALEMBIC_INI, folder)
    if json:
        print_json({"config": f"{ALEMBIC_INI}", "folder": f"{folder}"})


def _upgrade(
    revision: Revision = "head",
    *,
    config: Config = ALEMBIC_INI,
    accept_locks: Annotated[bool, typer.Option("--accept-locks", help="Even if others cannot use a large table.")] = False,
    json: Json = False,
) -> None:
    """Bring the schema to a revision; one process does it, others that ask meanwhile wait."""
    with _telling():
        _run("upgrade", config, revision, accepts_locks=accept_locks)
    _tell_history(config, as_json=json)


def _downgrade(revision: Revision, config: Config = ALEMBIC_INI, *, json: Json = False) -> None:
    """Take the schema back to a revision."""
    with _telling():
        _run("downgrade", config, revision)
    _tell_history(config, as_json=json)


def _current(config: Config = ALEMBIC_INI, *, json: Json = False) -> None:
    """Show the revision that the schema is at."""
    if json:
        _tell_history(config, as_json=True)
    else:
        _run("current", config)


def _check(config: Config = ALEMBIC_INI, *, json: Json = False) -> None:
    """Exit with 1 if the migrations do not make what the models ask for, or would lock a table that may be large."""
    try:
        _run("check", config, is_quiet=json)
    except typer.Exit:
        if json:
            print_json({"ok": False})
        raise
    if json:
        print_json({"ok": True})


def _revision(
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
    *,
    autogenerate: Annotated[bool, typer.Option(help="Compare the models with the database.")] = True,
    config: Config = ALEMBIC_INI,
    json: Json = False,
) -> None:
    """Write a new migration, with what the models have and the database has not."""
    written = _run("revision", config, message, autogenerate, is_quiet=json)
    if json:
        scripts = written if isinstance(written, list) else [written]
        print_json({"paths": [f"{script.path}" for script in scripts if script is not None]})


def _relay(
    database: Annotated[
        str | None, typer.Option(help="The named database instance; the main one where it is not given.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="The named queue instance that gets the tasks; the main one likewise.")
    ] = None,
    *,
    log_format: LogOption = LogFormat.TEXT,
    json: Annotated[bool, typer.Option("--json", help="The same as --log-format json.")] = False,
) -> None:
    """Take the tasks of committed transactions from the outbox to the queue, until interrupted; the log says how it goes."""
    import asyncio

    from indiaai_db.outbox.serving import serve

    start_log(LogFormat.JSON if json else log_format)
    with _exiting():
        asyncio.run(serve(database, queue))


def _copy(
    source: Annotated[str, typer.Argument(help="A named database instance: `old` reads OLD_DATABASE_TYPE and its like.")],
    target: Annotated[str | None, typer.Option(help="A named instance to copy to, in place of the main one.")] = None,
    *,
    json: Json = False,
) -> None:
    """Copy all rows of another database into an empty one of the same schema; all of them or none."""
    import asyncio

    from indiaai_db.copying.command import copy

    with _exiting():
        asyncio.run(copy(source, target, as_json=json))


def _run(name: str, config: Path, *arguments: Any, is_quiet: bool = False, accepts_locks: bool = False) -> Any:
    from indiaai_db.migrations import run_command

    unheard = io.StringIO() if is_quiet else None
    with _exiting(), redirect_stdout(unheard) if unheard else nullcontext():
        return run_command(name, config, *arguments, accepts_locks=accepts_locks, output=unheard)


def _tell_history(config: Path, *, as_json: bool) -> None:
    """Say where the database is now, and whether there is more to run."""
    import asyncio

    from indiaai_db.factory import get_database_service
    from indiaai_db.history import History, read_history

    async def read() -> History | None:
        async with get_database_service() as service:
            return await read_history(service, config)

    with _exiting():
        history = asyncio.run(read())
    if history is None:
        typer.echo(f"There are no migrations: {config.absolute()} does not exist.", err=True)
        raise typer.Exit(1)
    if as_json:
        print_json({"current": history.current, "heads": history.heads, "pending": history.pending})
    else:
        print_text(f"The database is at {history.place}.")


@contextmanager
def _exiting() -> Iterator[None]:
    """Say what went wrong, and exit with 1."""
    try:
        yield
    except IndiaAIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@contextmanager
def _telling() -> Iterator[None]:
    """Say on the error stream which migration is run: it may take long."""
    import logging

    told, handler = logging.getLogger("alembic.runtime.migration"), logging.StreamHandler()
    handler.addFilter(lambda record: record.msg.startswith("Running "))
    level = told.level
    told.addHandler(handler)
    told.setLevel(logging.INFO)
    try:
        yield
    finally:
        told.removeHandler(handler)
        told.setLevel(level)
