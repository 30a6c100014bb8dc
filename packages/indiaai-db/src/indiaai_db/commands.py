"""The commands `indiaai db …`: Alembic's own, on the platform's database; loaded through the group `indiaai.hooks`.

Alembic and typer are imported when a command runs: every platform loads this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from indiaai_core.hooks import hookimpl

__all__ = ["add_commands"]


@hookimpl
def add_commands(app: Any) -> None:
    """Add `indiaai db` with its commands to the command line."""
    from typer import Option, Typer

    config_option = Option("--config", help="The application's alembic.ini, or its folder of migrations.")
    db = Typer(help="Migrate the database that DATABASE_TYPE selects.", no_args_is_help=True)

    @db.command()
    def init(folder: Path = Path("migrations")) -> None:
        """Make an alembic.ini and a folder of migrations here."""
        _run("init", Path("alembic.ini"), folder)

    @db.command()
    def upgrade(revision: str = "head", *, config: Annotated[Path, config_option] = Path("alembic.ini")) -> None:
        """Bring the schema to a revision; one process does it, others that ask meanwhile wait."""
        _run("upgrade", config, revision)

    @db.command()
    def downgrade(revision: str, *, config: Annotated[Path, config_option] = Path("alembic.ini")) -> None:
        """Take the schema back to a revision."""
        _run("downgrade", config, revision)

    @db.command()
    def current(*, config: Annotated[Path, config_option] = Path("alembic.ini")) -> None:
        """Show the revision that the schema is at."""
        _run("current", config)

    @db.command()
    def check(*, config: Annotated[Path, config_option] = Path("alembic.ini")) -> None:
        """Exit with 1 if the models differ from the schema that the migrations make."""
        _run("check", config)

    @db.command()
    def revision(
        message: Annotated[str, Option("--message", "-m", help="What the migration does.")],
        *,
        autogenerate: Annotated[bool, Option(help="Compare the models with the database.")] = True,
        config: Annotated[Path, config_option] = Path("alembic.ini"),
    ) -> None:
        """Write a new migration, from what the models have and the database has not."""
        _run("revision", config, message, autogenerate)

    app.add_typer(db, name="db")


def _run(name: str, config: Path, *arguments: Any) -> None:
    from typer import Exit, echo

    from indiaai_core.errors import IndiaAIError
    from indiaai_db.migrations import run_command

    try:
        run_command(name, config, *arguments)
    except IndiaAIError as error:
        echo(str(error), err=True)
        raise Exit(1) from error
