"""`indiaai db` for programs and for people: JSON, what is run while it runs, and names that nobody set."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from indiaai_core.cli.app import build_app
from indiaai_db.testing.migrations import FIRST, SECOND, write_application


@pytest.fixture(autouse=True)
def _application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    write_application(tmp_path, FIRST, SECOND)


def run(*arguments: str, status: int = 0) -> Result:
    """Run a command to an expected end."""
    result = CliRunner().invoke(build_app(), ["db", *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == status, result.output
    return result


def read(*arguments: str, status: int = 0) -> Any:
    """Run a command that prints JSON and nothing else."""
    return json.loads(run(*arguments, "--json", status=status).stdout)


def test_where_the_database_is_can_be_read_by_programs() -> None:
    """Before, between and after migrations, and after steps back."""
    before, half, after = read("current"), read("upgrade", "one"), read("upgrade")
    back = read("downgrade", "base")

    assert before == back == {"current": [], "heads": ["two"], "pending": True}
    assert half == {"current": ["one"], "heads": ["two"], "pending": True}
    assert after == read("upgrade") == {"current": ["two"], "heads": ["two"], "pending": False}


def test_what_is_run_is_said_while_it_runs() -> None:
    """Each migration on the error stream, and on the other where the database is in the end."""
    result = run("upgrade")

    assert result.stderr == "Running upgrade  -> one\nRunning upgrade one -> two\n"
    assert result.stdout == "The database is at two.\n"
    assert run("upgrade").stderr == ""


def test_what_is_written_and_checked_can_be_read_by_programs(tmp_path: Path) -> None:
    """The paths of what was made, and whether a check passed; why not is on the error stream."""
    made = read("init")
    read("upgrade")
    (path,) = read("revision", "-m", "third", "--no-autogenerate")["paths"]

    failed = run("check", "--json", status=1)

    assert made == {"config": "alembic.ini", "folder": "migrations"}
    assert Path(path).parent == tmp_path / "migrations" / "versions"
    assert json.loads(failed.stdout) == {"ok": False}
    assert failed.stderr


@pytest.mark.parametrize("command", ["current", "upgrade"])
def test_without_migrations_it_is_said(command: str, tmp_path: Path) -> None:
    """Status 1 and the path that was looked at, for programs, too."""
    (tmp_path / "alembic.ini").unlink()

    result = run(command, "--json", status=1)

    assert result.stdout == ""
    assert str(tmp_path / "alembic.ini") in result.stderr


def test_migrations_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Status 1, and no traceback."""
    (tmp_path / "migrations" / "versions" / "1.py").write_text("revision = ")

    assert "the migrations cannot be read" in run("current", "--json", status=1).stderr


def test_a_copy_can_be_read_by_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows of which tables."""
    run("upgrade")
    monkeypatch.setenv("OLD_SQLITE_DB_PATH", str(tmp_path / "test.db"))
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "new.db"))
    monkeypatch.setattr("indiaai_core.platform._default", None)  # a command has a process of its own
    run("upgrade")
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection, connection:
        connection.execute("DELETE FROM conformance_first")

    copied = read("copy", "old")

    assert (copied["tables"]["conformance_first"], copied["rows"] > 0) == (1, True)


def test_a_database_that_nobody_named_is_refused() -> None:
    """A misspelt name would be the main database, copied onto itself."""
    assert "There is no database instance 'old'" in run("copy", "old", status=1).stderr
