"""`indiaai check` on a database: migrations that were not run, and what else is wrong, are found, and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from indiaai_core.cli.app import build_app
from indiaai_core.mounts import forgetful_mount
from indiaai_db.testing.migrations import FIRST, SECOND, write_application


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database of each kind that the variables select, beside an application with two migrations."""
    monkeypatch.setattr("indiaai_db.sqlite.service.forgetful_mount", lambda _: None)  # tests may run in memory
    monkeypatch.setenv("LOCAL_STORAGE_PATH", str(tmp_path / "storage"))
    if request.param == "postgresql":
        monkeypatch.setenv("DATABASE_TYPE", "postgresql")
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgresql_url"))
    else:
        monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "test.db"))
    write_application(tmp_path, FIRST, SECOND)
    return str(request.param)


def run(*arguments: str, status: int = 0) -> str:
    """Run a command to an expected end, and return what it prints."""
    result = CliRunner().invoke(build_app(), list(arguments))
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def check(*, status: int = 0) -> list[dict[str, Any]]:
    """Run the checks, and return what they found about the database."""
    found = json.loads(run("check", "--json", status=status))["checks"]
    return [one for one in found if one["name"].startswith("database")]


@pytest.mark.usefixtures("database")
def test_pending_migrations_are_found_and_the_remedy_mends_it() -> None:
    """An empty database, and one that is half way, are told; after the command that is told, all is well."""
    (empty,) = check(status=1)
    run("db", "upgrade", "one")
    (half_way,) = check(status=1)
    run(*half_way["remedy"].split()[1:])
    (done,) = check()

    assert "the database is at no revision, and the migrations go on to two" in empty["detail"]
    assert "the database is at one, and the migrations go on to two" in half_way["detail"]
    assert half_way["remedy"] == "indiaai db upgrade"
    assert (done["is_ok"], done["is_caveat"]) == (True, False)


@pytest.mark.usefixtures("database")
def test_a_database_that_is_ahead_is_a_caveat(tmp_path: Path) -> None:
    """While a newer version is brought out, the older one goes on: it is told, and fails nobody."""
    run("db", "upgrade")
    (tmp_path / "migrations" / "versions" / "1.py").unlink()

    _, caveat = check()

    assert (caveat["is_ok"], caveat["is_caveat"]) == (True, True)
    assert "the database is at two, which is not among the migrations here" in caveat["detail"]


def test_migrations_that_cannot_be_read_are_found(database: str, tmp_path: Path) -> None:
    """A revision that is no Python is an error that names where the migrations are looked for."""
    (tmp_path / "migrations" / "versions" / "1.py").write_text("revision = ")

    (found,) = check(status=1)

    assert "alembic.ini" in found["detail"], database


def test_without_migrations_there_is_nothing_to_be_pending(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that has none, and the database of another name, are no alarm."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    (found,) = check()

    assert found["is_ok"], database


def test_a_named_database_is_not_held_to_the_migrations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The application's migrations are those of its main database."""
    monkeypatch.setenv("LOCAL_STORAGE_PATH", str(tmp_path / "storage"))
    monkeypatch.setenv("SQLITE_DB_PATH", str(tmp_path / "main.db"))
    monkeypatch.setenv("OLD_DATABASE_TYPE", "sqlite")
    monkeypatch.setenv("OLD_SQLITE_DB_PATH", str(tmp_path / "old.db"))
    write_application(tmp_path, FIRST)
    run("db", "upgrade")

    found = {one["name"]: one["is_ok"] for one in check() if not one["is_caveat"]}

    assert found == {"database": True, "database:old": True}


def test_a_database_in_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart would take the file away: the mount and the variable are named."""
    if forgetful_mount("/dev/shm") is None or not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no file system in memory at /dev/shm to store in")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        monkeypatch.setenv("SQLITE_DB_PATH", f"{folder}/test.db")
        _, caveat = check()

    assert caveat["name"] == "database: SQLITE_DB_PATH"
    assert "empties /dev/shm" in caveat["detail"]


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        (("password", "wrong-hunter2"), "refuses the user or the password", "copy the URL"),
        (("database", "no_such_database"), "no such database", "make it: createdb no_such_database"),
        (("port", "1"), "does not answer", "as DATABASE_URL say"),
    ],
)
def test_a_server_that_does_not_let_in_is_found(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], said: str, remedy: str
) -> None:
    """Each is told with what mends it, and the password is shown nowhere."""
    parts = urlsplit(postgresql_url)
    old = {"password": f":{parts.password}@", "database": parts.path, "port": f":{parts.port}/"}[change[0]]
    new = {"password": f":{change[1]}@", "database": f"/{change[1]}", "port": f":{change[1]}/"}[change[0]]
    monkeypatch.setenv("DATABASE_TYPE", "postgresql")
    monkeypatch.setenv("DATABASE_URL", postgresql_url.replace(old, new))

    (found,) = check(status=1)

    assert said in found["detail"]
    assert remedy in found["remedy"]
    assert "hunter2" not in json.dumps(found)
