"""The suite for models: it passes good ones on both dialects, and finds each fault by its own promise."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from sqlalchemy import MetaData

from indiaai_core import Platform
from indiaai_core.testing import list_promises
from indiaai_db import DatabaseService
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import ModelConformance
from indiaai_db.testing.migrations import write_application
from modelled import Forgetful, Nameless, Tables, Wordy

MAKES = """
import sqlalchemy as sa
from alembic import op
import indiaai_db
from modelled import {root}

revision, down_revision = "made", None

def upgrade():
    {root}.metadata.create_all(op.get_bind()) if op.get_bind() is not None else None
    {more}

def downgrade():
    {back}
"""


def application(folder: Path, root: str, *, more: str = "pass", back: str = "") -> Path:
    """Write an application whose one migration makes what the models of a root say."""
    folder.mkdir(parents=True, exist_ok=True)
    config = write_application(
        folder, MAKES.format(root=root, more=more, back=back or f"{root}.metadata.drop_all(op.get_bind())")
    )
    (folder / "migrations" / "env.py").write_text(
        f"from indiaai_db.migrations import run\nfrom modelled import {root}\n\nrun({root}.metadata)\n"
    )
    return config


@pytest.fixture(scope="module", autouse=True)
def _applications(tmp_path_factory: pytest.TempPathFactory) -> None:
    TestModels.migrations = application(tmp_path_factory.mktemp("good"), "Tables")


class TestModels(ModelConformance):
    """Good models keep every promise, on both dialects."""

    metadata = Tables.metadata
    migrations: ClassVar[Path]

    @pytest.fixture(params=["sqlite", "postgresql"])
    def variables(self, request: pytest.FixtureRequest, sqlite_path: Path) -> dict[str, str]:
        """What selects an empty database of each dialect."""
        if request.param == "sqlite":
            return {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(sqlite_path)}
        return {"DATABASE_TYPE": "postgresql", "DATABASE_URL": request.getfixturevalue("postgresql_url")}

    @pytest.fixture
    async def service(self, variables: dict[str, str]) -> AsyncIterator[DatabaseService]:
        """An open service on an empty database."""
        async with cast(DatabaseService, Platform(variables).get_service("database")) as service:
            yield service


BROKEN: dict[str, tuple[str, MetaData, dict[str, str]]] = {
    "M01": ("Tables", Tables.metadata, {"more": "op.add_column('book', sa.Column('forgotten', sa.Integer))"}),
    "M02": ("Tables", Tables.metadata, {"back": "pass"}),
    "M03": ("Forgetful", Forgetful.metadata, {}),
    "M04": ("Nameless", Nameless.metadata, {}),
    "M05": ("Wordy", Wordy.metadata, {}),
}


@pytest.mark.parametrize("number", BROKEN)
def test_faulty_models_fail_their_own_promise_and_no_other(number: str, tmp_path: Path) -> None:
    """Models that are wrong in one way are found out by the promise about it."""
    root, metadata, faults = BROKEN[number]
    suite = ModelConformance()
    vars(suite).update(metadata=metadata, migrations=application(tmp_path / "application", root, **faults))
    tests = {test.promise.number: test for _, test in inspect.getmembers(suite, lambda member: hasattr(member, "promise"))}

    failed = {tried for tried, test in tests.items() if not holds(test, tmp_path / tried)}

    assert failed == {number}


def holds(test: Any, folder: Path) -> bool:
    """Tell whether one promise holds on an empty database."""

    async def judge() -> None:
        async with SqliteDatabaseService(SqliteSettings(db_path=folder / "test.db")) as service:
            await test(service=service)

    try:
        asyncio.run(judge())
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - faulty models may fail a promise in any way
        return False
    return True


def test_every_promise_about_models_is_broken_by_somebody() -> None:
    """No promise is kept only because nothing could break it."""
    assert {*BROKEN} == {kept.number for kept in list_promises(ModelConformance)}
