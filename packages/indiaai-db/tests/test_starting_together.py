"""Instances that start together, each of which migrates first: processes of their own, on both dialects."""

from __future__ import annotations

import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import anyio
import pytest
from sqlalchemy import text

from indiaai_core import Platform
from indiaai_db import DatabaseService
from indiaai_db.testing.migrations import FIRST, SECOND, write_application
from writing import start, upgrade_in_process

pytestmark = pytest.mark.anyio

INSTANCES = 20

HALFWAY = """
import pathlib, time
from alembic import op

revision, down_revision = "halfway", "one"

def upgrade():
    op.execute("UPDATE conformance_first SET name = 'changed'")
    op.execute("CREATE TABLE conformance_half (id INTEGER)")
    pathlib.Path({path!r}).touch()
    time.sleep(120)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def variables(request: pytest.FixtureRequest, sqlite_path: Path) -> dict[str, str]:
    """What selects an empty database of each dialect."""
    if request.param == "sqlite":
        return {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(sqlite_path)}
    return {"DATABASE_TYPE": "postgresql", "DATABASE_URL": request.getfixturevalue("postgresql_url")}


def service_of(variables: dict[str, str]) -> DatabaseService:
    """Return the service that variables select."""
    return cast(DatabaseService, Platform(variables).get_service("database"))


def codes_of(processes: list[BaseProcess]) -> list[int | None]:
    """Wait for processes, and return their exit codes."""
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


async def rows(variables: dict[str, str], statement: str) -> list[tuple[object, ...]]:
    """Return what a statement gives."""
    async with service_of(variables) as service, service.session(read_only=True) as session:
        return [tuple(row) for row in await session.execute(text(statement))]


async def test_twenty_instances_that_start_together_migrate_once(variables: dict[str, str], tmp_path: Path) -> None:
    """One of them runs each migration, the others wait for it, and none fails."""
    config = write_application(tmp_path, FIRST, SECOND)

    codes = codes_of([start(upgrade_in_process, variables, config) for _ in range(INSTANCES)])

    assert codes == [0] * INSTANCES
    assert await rows(variables, "SELECT id, name, age FROM conformance_first") == [(1, "kept", 0)]
    assert await rows(variables, "SELECT version_num FROM alembic_version") == [("two",)]


async def test_an_instance_that_is_killed_halfway_leaves_the_old_schema_to_the_next(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """Nothing of its migration is there, and its lock is free."""
    reached = tmp_path / "reached"
    config = write_application(tmp_path / "broken", FIRST, HALFWAY.format(path=str(reached)))
    repaired = write_application(tmp_path / "repaired", FIRST, SECOND)
    async with service_of(variables) as service:
        await service.upgrade("one", config=repaired)

    process = start(upgrade_in_process, variables, config)
    deadline = time.monotonic() + 60
    while not reached.exists() and time.monotonic() < deadline and process.is_alive():  # noqa: ASYNC110 - a file has no event
        await anyio.sleep(0.01)
    process.kill()
    (code,) = codes_of([process])
    before = await rows(variables, "SELECT name FROM conformance_first")
    async with service_of(variables) as service:
        await service.upgrade(config=repaired)

    assert code == -signal.SIGKILL
    assert before == [("kept",)]
    assert await rows(variables, "SELECT name, age FROM conformance_first") == [("kept", 0)]
