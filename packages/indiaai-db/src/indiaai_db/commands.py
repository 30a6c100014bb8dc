"""The commands `indiaai db …`: Alembic's own and the outbox's, on the database that is selected; imported by the hook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from indiaai_core.errors import IndiaAIError

__all__ = ["build_commands"]

Config = Annotated[Path, typer.Option("--config", help="The application's alembic.ini, or its folder of migrations.")]
Revision = Annotated[str, typer.Argument(help="A revision; `head` means all heads, `-1` the one before.")]

ALEMBIC_INI = Path("alembic.ini")


def build_commands() -> typer.Typer:
    """Return the group of commands."""
    commands = typer.Typer(help="Migrate the database that DATABASE_TYPE selects.", no_args_is_help=True)
    for command in (_init, _upgrade, _downgrade, _current, _check, _revision, _relay, _copy):
        # Alembic's numbers of steps back begin with a dash.
        commands.command(command.__name__[1:], context_settings={"ignore_unknown_options": command is _downgrade})(command)
    return commands


def _init(folder: Annotated[Path, typer.Argument(help="The folder of migrations to make.")] = Path("migrations")) -> None:
    """Make an alembic.ini and a folder of migrations here; what is there already stays as it is."""
    _run("init", ALEMBIC_INI, folder)


def _upgrade(
    revision: Revision = "head",
    *,
    config: Config = ALEMBIC_INI,
    accept_locks: Annotated[bool, typer.Option("--accept-locks", help="Even if others cannot use a large table.")] = False,
) -> None:
    """Bring the schema to a revision; one process does it, others that ask meanwhile wait."""
    _run("upgrade", config, revision, accepts_locks=accept_locks)


def _downgrade(revision: Revision, config: Config = ALEMBIC_INI) -> None:
    """Take the schema back to a revision."""
    _run("downgrade", config, revision)


def _current(config: Config = ALEMBIC_INI) -> None:
    """Show the revision that the schema is at."""
    _run("current", config)


def _check(config: Config = ALEMBIC_INI) -> None:
    """Exit with 1 if the migrations do not make what the models ask for, or would lock a table that may be large."""
    _run("check", config)


def _revision(
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
    *,
    autogenerate: Annotated[bool, typer.Option(help="Compare the models with the database.")] = True,
    config: Config = ALEMBIC_INI,
) -> None:
    """Write a new migration, with what the models have and the database has not."""
    _run("revision", config, message, autogenerate)


def _relay(
    database: Annotated[
        str | None, typer.Option(help="The named database instance; the main one where it is not given.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="The named queue instance that gets the tasks; the main one likewise.")
    ] = None,
) -> None:
    """Take the tasks of committed transactions from the outbox to the queue, until interrupted."""
    import asyncio

    from indiaai_db.outbox.serving import serve

    try:
        asyncio.run(serve(database, queue))
    except IndiaAIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _copy(
    source: Annotated[str, typer.Argument(help="A named database instance: `old` reads OLD_DATABASE_TYPE and its like.")],
    target: Annotated[str | None, typer.Option(help="A named instance to copy to, in place of the main one.")] = None,
) -> None:
    """Copy all rows of another database into an empty one of the same schema; all of them or none."""
    import asyncio

    from indiaai_db.copying.command import copy

    try:
        asyncio.run(copy(source, target))
    except IndiaAIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _run(name: str, config: Path, *arguments: Any, accepts_locks: bool = False) -> None:
    from indiaai_db.migrations import run_command

    try:
        run_command(name, config, *arguments, accepts_locks=accepts_locks)
    except IndiaAIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
