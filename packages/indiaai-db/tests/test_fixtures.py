"""What the fixtures for applications' tests promise, tried in a project of its own, on both dialects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indiaai_db.testing import PostgresqlServer

CONFTEST = """
import pytest
from indiaai_db import Base
from models import Note

pytest_plugins = ["indiaai_db.testing.fixtures"]

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="session")
def database_schema():
    async def create(service):
        async with service.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
    return create
"""

MODELS = """
from sqlalchemy.orm import Mapped, mapped_column
from indiaai_db import Base

class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(unique=True)
"""

TESTS = """
import asyncio
import pytest
from sqlalchemy import select, func
from sqlalchemy.exc import IntegrityError
from indiaai_db import ReadOnlySession, get_database_service
from models import Note

pytestmark = pytest.mark.anyio

async def count():
    async with get_database_service().session(read_only=True) as session:
        return await session.scalar(select(func.count()).select_from(Note))

@pytest.mark.parametrize("number", [1, 2, 3])
async def test_each_begins_empty_and_sees_what_it_committed(database, number):
    assert get_database_service() is database
    assert await count() == 0
    async with get_database_service().session() as session:
        session.add(Note(text="a"))
    await database.run(lambda session: session.execute(select(Note)))
    assert await count() == 1

async def test_an_error_takes_back_one_session(database):
    async with database.session() as session:
        session.add(Note(text="kept"))
    with pytest.raises(LookupError):
        async with database.session() as session:
            session.add(Note(text="lost"))
            await session.flush()
            raise LookupError
    with pytest.raises(IntegrityError):
        async with database.session() as session:
            session.add(Note(text="kept"))
    assert await count() == 1

async def test_many_at_once_take_turns(database):
    async def add(number):
        async with database.session() as session:
            session.add(Note(text=str(number)))
            await session.flush()
            await asyncio.sleep(0.001)
    await asyncio.gather(*(add(number) for number in range(10)))
    assert await count() == 10

async def test_a_session_within_another_joins_it(database):
    async with database.session() as outer:
        outer.add(Note(text="outer"))
        await outer.flush()
        async with database.session() as inner:
            inner.add(Note(text="inner"))
    assert await count() == 2

async def test_a_read_only_session_refuses_objects(database):
    with pytest.raises(ReadOnlySession):
        async with database.session(read_only=True) as session:
            session.add(Note(text="a"))
"""


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a project's tests in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={folder}"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=120, env=inherited | environment, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An application's tests."""
    for name, content in {"conftest.py": CONFTEST, "models.py": MODELS, "test_notes.py": TESTS}.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_tests_on_sqlite_leave_no_trace_on_each_other(project: Path) -> None:
    """The default needs nothing."""
    run = run_pytest(project)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "7 passed" in run.stdout


def test_the_same_tests_run_on_a_postgresql_server_that_is_there(project: Path, postgresql_server: PostgresqlServer) -> None:
    """The option chooses, and the variable says where."""
    run = run_pytest(project, "--database", "postgresql", INDIAAI_TEST_POSTGRESQL_URL=postgresql_server.url)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "7 passed" in run.stdout


def test_a_server_is_started_where_none_is_named(project: Path) -> None:
    """It goes with the run."""
    run = run_pytest(project, "--database", "postgresql", "-k", "begins_empty")

    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_who_has_no_migrations_is_told_what_to_override(project: Path) -> None:
    """A missing schema is no riddle."""
    conftest = project / "conftest.py"
    conftest.write_text(CONFTEST.partition('@pytest.fixture(scope="session")\ndef database_schema')[0])

    run = run_pytest(project, "-k", "read_only")

    assert run.returncode == 1
    assert "Override the fixture database_schema" in run.stdout
