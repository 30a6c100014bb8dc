"""What migrations promise beyond the contract: Alembic as users know it, plugins' migrations, and what cannot be run."""

from __future__ import annotations

import importlib
import io
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from alembic import command
from alembic.config import Config, main
from sqlalchemy import text

from indiaai_core import BackendUnavailable, ConfigurationError, Platform, PluginConflict, discovery
from indiaai_core.scan import Registration
from indiaai_db import DatabaseService, MigrationFailed, migrations
from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.testing.migrations import BROKEN, FIRST, SECOND, write_application

MODELS = """
import enum, uuid
from datetime import datetime
from decimal import Decimal
from typing import Any
from indiaai_db import Base
from indiaai_db.models import NAMING_CONVENTION
from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Tables(DeclarativeBase):  # and not Base itself: several tests of one process import this module
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = Base.type_annotation_map

class Colour(enum.Enum):
    RED = "red"

class Author(Tables):
    __tablename__ = "author"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)

class Book(Tables):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("author.id"), index=True)
    printed: Mapped[datetime]
    price: Mapped[Decimal]
    extra: Mapped[dict[str, Any]]
    colour: Mapped[Colour]
"""

NOTES = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels = "notes1", None, ("notes",)

def upgrade():
    op.create_table("notes_entry", sa.Column("id", sa.Integer, primary_key=True))

def downgrade():
    op.drop_table("notes_entry")
"""


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The folder of an application with models and no migration yet."""
    folder = tmp_path / "application"
    folder.mkdir()
    write_application(folder)
    (folder / "models.py").write_text(MODELS)
    importlib.invalidate_caches()  # a folder of this name may have been looked at within the same tick of its clock
    sys.modules.pop("models", None)
    (folder / "migrations" / "env.py").write_text(
        "from indiaai_db.migrations import run\nfrom models import Tables\n\nrun(Tables.metadata)\n"
    )
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database of each kind that the variables select."""
    if request.param == "postgresql":
        monkeypatch.setenv("DATABASE_TYPE", "postgresql")
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgresql_url"))
    else:
        monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    return str(request.param)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed plugin `notes` with one migration."""
    package = tmp_path / "site" / "notes_migrations"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "notes1.py").write_text(NOTES)
    monkeypatch.syspath_prepend(str(package.parent))
    found = Registration("indiaai.migrations", "notes", "notes_migrations", "indiaai-notes", "1", str(package))
    known = discovery.catalogue()
    monkeypatch.setattr(discovery, "_catalogue", discovery.Catalogue((*known.registrations, found), known.problems))
    yield "notes"
    sys.modules.pop("notes_migrations", None)
    importlib.invalidate_caches()


def alembic(*arguments: str) -> None:
    """Run `alembic` in the working directory as its own program does."""
    sys.modules.pop("models", None)
    main(argv=list(arguments), prog="alembic")


def test_alembic_works_from_the_applications_folder(application: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autogenerate, upgrade, check and downgrade are Alembic's own, on the database that the variables select."""
    monkeypatch.chdir(application)
    alembic("revision", "--autogenerate", "-m", "first")
    (written,) = (application / "migrations" / "versions").glob("*_first.py")

    alembic("upgrade", "head")
    alembic("check")
    alembic("downgrade", "base")

    source = written.read_text()
    for line in ("import indiaai_db", "indiaai_db.UtcDateTime()", "indiaai_db.PortableJson()", "fk_book_author_id_author"):
        assert line in source
    assert "op.f('uq_author_name')" in source


def test_the_alembic_program_finds_everything_in_the_working_directory(
    application: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`alembic upgrade head` in a shell needs nothing but the application's folder."""
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    (application / "migrations" / "versions" / "one.py").write_text(FIRST)

    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=application, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("one",)]


@pytest.mark.anyio
async def test_plugins_bring_their_own_migrations(sqlite_service: SqliteDatabaseService, tmp_path: Path, plugin: str) -> None:
    """`head` means the application's head and the plugin's; both are in the one history."""
    config = write_application(tmp_path / "application", FIRST, SECOND)

    await sqlite_service.upgrade(config=config)

    async with sqlite_service.session(read_only=True) as session:
        heads = (await session.scalars(text("SELECT version_num FROM alembic_version ORDER BY 1"))).all()
        assert (await session.scalars(text("SELECT count(*) FROM notes_entry"))).one() == 0
    assert heads == ["notes1", "two"]


def test_autogenerate_leaves_a_plugins_tables_alone(
    application: Path, plugin: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A plugin's tables, which are in no model of the application's, are not dropped; new revisions go to its own branch."""
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    config = application / "alembic.ini"
    migrations.run_command("upgrade", config, "head")

    migrations.run_command("revision", config, "first", True)
    migrations.run_command("upgrade", config, "head")
    migrations.run_command("check", config)

    (written,) = (application / "migrations" / "versions").glob("*_first.py")
    assert "notes" not in written.read_text()
    assert "Revises: \n" in written.read_text()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("application_table", "plugin_table", "said"),
    [
        (
            "conformance_first",
            "entry",
            r"of the plugin 'notes' makes the table 'entry', and its tables are called notes",
        ),
        ("notes_mine", "notes_entry", r"of the application makes the table 'notes_mine', and that is a name of the plugin"),
    ],
)
async def test_a_table_of_somebody_elses_is_refused(
    sqlite_service: SqliteDatabaseService, tmp_path: Path, plugin: str, application_table: str, plugin_table: str, said: str
) -> None:
    """A plugin keeps to its prefix and the application out of it, so that their tables never collide."""
    (tmp_path / "site" / "notes_migrations" / "notes1.py").write_text(NOTES.replace("notes_entry", plugin_table))
    config = write_application(tmp_path / "application", FIRST.replace("conformance_first", application_table))

    with pytest.raises(MigrationFailed, match=said):
        await sqlite_service.upgrade(config=config)

    async with sqlite_service.session(read_only=True) as session:
        assert (await session.scalars(text("SELECT name FROM sqlite_master"))).all() == []


@pytest.mark.anyio
async def test_a_failed_migration_of_a_plugin_takes_back_the_applications_too(
    database: str, tmp_path: Path, plugin: str
) -> None:
    """All branches are one transaction, on both dialects: none of them is left behind half way."""
    config = write_application(tmp_path / "application", FIRST)
    failing = NOTES.replace('"notes1", None, ("notes",)', '"notes2", "notes1", None\ndepends_on = "two"').replace(
        "notes_entry", "notes_more"
    )
    async with cast(DatabaseService, Platform().get_service("database")) as service:
        await service.upgrade(config=config)
        (tmp_path / "site" / "notes_migrations" / "notes2.py").write_text(
            failing.replace("def downgrade", "    raise RuntimeError('halfway')\n\ndef downgrade")
        )
        write_application(tmp_path / "application", FIRST, SECOND)

        with pytest.raises(MigrationFailed, match="halfway"):
            await service.upgrade(config=config)

        async with service.session(read_only=True) as session:
            versions = (await session.scalars(text("SELECT version_num FROM alembic_version ORDER BY 1"))).all()
            columns = (await session.execute(text("SELECT * FROM conformance_first"))).keys()
    assert versions == ["notes1", "one"]
    assert list(columns) == ["id", "name"]


@pytest.mark.anyio
async def test_a_block_that_commits_elsewhere_is_part_of_the_transaction_on_sqlite(
    sqlite_service: SqliteDatabaseService, tmp_path: Path
) -> None:
    """What fails after an `autocommit_block()` leaves nothing of it, and the lock was never let go."""
    block = "    with op.get_context().autocommit_block():\n        op.create_table"
    config = write_application(tmp_path, FIRST, SECOND, BROKEN.replace("    op.create_table", block))

    with pytest.raises(MigrationFailed, match="halfway"):
        await sqlite_service.upgrade(config=config)

    async with sqlite_service.session(read_only=True) as session:
        assert (await session.scalars(text("SELECT name FROM sqlite_master"))).all() == []


def test_two_plugins_of_one_prefix_are_refused(plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named."""
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    other = Registration("indiaai.migrations", "notes", "notes_migrations", "acme-notes", "1", str(tmp_path))
    known = discovery.catalogue()
    monkeypatch.setattr(discovery, "_catalogue", discovery.Catalogue((*known.registrations, other), known.problems))

    with pytest.raises(PluginConflict, match="acme-notes and indiaai-notes"):
        migrations.run_command("upgrade", write_application(tmp_path, FIRST), "head")


@pytest.mark.anyio
async def test_alembic_can_be_called_from_code_with_a_running_loop(application: Path, database: str) -> None:
    """Alembic's own functions work where an event loop runs already."""
    (application / "migrations" / "env.py").write_text("from indiaai_db.migrations import run\n\nrun()\n")
    (application / "migrations" / "versions" / "one.py").write_text(FIRST)
    printed = io.StringIO()
    config = Config(application / "alembic.ini", stdout=printed)

    command.upgrade(config, "head")
    command.current(config)

    assert "one (head)" in printed.getvalue()


def test_sql_can_be_printed_without_a_database(
    application: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`alembic upgrade head --sql` prints the dialect's SQL and touches nothing."""
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "untouched.db"))
    monkeypatch.chdir(application)
    (application / "migrations" / "versions" / "one.py").write_text(FIRST)

    alembic("upgrade", "head", "--sql")

    assert "CREATE TABLE conformance_first" in capsys.readouterr().out
    assert not (tmp_path / "untouched.db").exists()


@pytest.mark.anyio
async def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(
    sqlite_service: SqliteDatabaseService, tmp_path: Path
) -> None:
    """Batch mode replaces a table on SQLite: rows that refer to it stay, though their foreign key says ON DELETE CASCADE."""
    child = FIRST.replace('"one", None', '"child", "one"').replace(
        "    op.create_table", "    op.execute('PRAGMA foreign_keys')\n    op.create_table", 1
    )
    child = child.replace("conformance_first", "conformance_child").replace(
        "primary_key=True)", "sa.ForeignKey('conformance_first.id', ondelete='CASCADE'), primary_key=True)", 1
    )
    config = write_application(tmp_path, FIRST, child, SECOND.replace('"two", "one"', '"two", "child"'))

    await sqlite_service.upgrade(config=config)

    async with sqlite_service.session(read_only=True) as session:
        assert (await session.execute(text("SELECT id FROM conformance_child"))).all() == [(1,)]
        assert (await session.execute(text("PRAGMA foreign_key_check"))).all() == []


@pytest.mark.anyio
async def test_a_migration_that_breaks_a_reference_is_rolled_back(
    sqlite_service: SqliteDatabaseService, tmp_path: Path
) -> None:
    """On SQLite foreign keys are off while tables are rebuilt, and are checked before the commit."""
    breaking = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "breaking", "one"

def upgrade():
    op.create_table("conformance_child", sa.Column("id", sa.Integer, sa.ForeignKey("conformance_first.id")))
    op.execute("INSERT INTO conformance_child VALUES (404)")
"""
    config = write_application(tmp_path, FIRST, breaking)
    await sqlite_service.upgrade("one", config=config)

    with pytest.raises(MigrationFailed, match="conformance_child refer to rows that are not there"):
        await sqlite_service.upgrade(config=config)

    async with sqlite_service.session(read_only=True) as session:
        assert (await session.scalars(text("SELECT version_num FROM alembic_version"))).all() == ["one"]


@pytest.mark.anyio
async def test_a_database_that_is_ahead_is_a_configuration_error(sqlite_service: SqliteDatabaseService, tmp_path: Path) -> None:
    """A revision that no installed code knows is said to come from a newer version or a plugin that is gone."""
    await sqlite_service.upgrade(config=write_application(tmp_path / "new", FIRST, SECOND))

    with pytest.raises(ConfigurationError, match="newer version of the application"):
        await sqlite_service.upgrade(config=write_application(tmp_path / "old", FIRST))


@pytest.mark.anyio
async def test_a_missing_folder_of_migrations_is_a_configuration_error(
    sqlite_service: SqliteDatabaseService, tmp_path: Path
) -> None:
    """An alembic.ini that names no folder of migrations is an error that says how to name it."""
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/nowhere\n")

    with pytest.raises(ConfigurationError, match="script_location"):
        await sqlite_service.upgrade(config=tmp_path / "alembic.ini")


@pytest.mark.anyio
async def test_upgrade_of_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    """The database's own error comes out of `upgrade`, and is not taken for a failed migration."""
    pydantic = pytest.importorskip("pydantic")
    from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings

    service = PostgresqlDatabaseService(PostgresqlSettings(url=pydantic.SecretStr("postgres://u:p@127.0.0.1:1/d")))

    with pytest.raises(BackendUnavailable, match="does not answer"):
        await service.upgrade(config=write_application(tmp_path, FIRST))


def invoke(*arguments: str) -> Any:
    """Run `indiaai db …` in this process."""
    sys.modules.pop("models", None)
    from typer.testing import CliRunner

    from indiaai_core.cli.app import build_app

    return CliRunner().invoke(build_app(), ["db", *arguments])


def test_commands_migrate_the_selected_database(application: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`indiaai db` writes, runs, shows, checks and takes back migrations without an alembic command."""
    monkeypatch.chdir(application)

    lines = ("revision -m first", "upgrade", "current", "check", "downgrade -1", "check", "downgrade -1")
    results = [invoke(*line.split()) for line in lines]

    assert [result.exit_code for result in results] == [0, 0, 0, 0, 0, 1, 1]
    assert "not up to date" in results[5].output


def test_init_writes_what_alembic_needs_and_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`indiaai db init` makes the files; again, it leaves those that were changed as they are."""
    first = invoke("init")
    (tmp_path / "migrations" / "env.py").write_text("mine")
    second = invoke("init")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert (tmp_path / "alembic.ini").is_file()
    assert (tmp_path / "migrations" / "script.py.mako").is_file()
    assert (tmp_path / "migrations" / "env.py").read_text() == "mine"


def test_commands_say_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without migrations, and one whose migration fails, exit with 1 and a plain message."""
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))

    without = invoke("upgrade")
    config = write_application(tmp_path, FIRST, SECOND, BROKEN)
    failed = invoke("upgrade", "--config", str(config))

    assert (without.exit_code, failed.exit_code) == (1, 1)
    assert "indiaai db init" in without.output
    assert "halfway" in failed.output
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
