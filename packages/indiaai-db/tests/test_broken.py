"""The conformance suite against databases that are wrong in one way: each fails its own promise, and no other."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

import broken_services
import broken_transactions
import broken_values
from indiaai_core.testing import list_promises
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import DatabaseConformance

MODULES = (broken_transactions, broken_values, broken_services)
BROKEN: list[type[Any]] = [
    member for module in MODULES for member in vars(module).values() if inspect.isclass(member) and "breaks" in vars(member)
]
SUITE = DatabaseConformance()
TESTS = {test.promise.number: test for _, test in inspect.getmembers(SUITE, lambda member: hasattr(member, "promise"))}


def failures(service_class: type[SqliteDatabaseService], folder: Path) -> set[str]:
    """Return the numbers of the promises that a database does not keep."""
    return {number for number, test in TESTS.items() if not holds(test, service_class, folder / number)}


def holds(test: Any, service_class: type[SqliteDatabaseService], folder: Path) -> bool:
    """Tell whether one promise holds on an empty database."""
    folder.mkdir()

    async def judge() -> None:
        async with service_class(SqliteSettings(db_path=folder / "test.db")) as service:
            fixtures = {"service": service, "tmp_path": folder}
            await test(**{name: value for name, value in fixtures.items() if name in inspect.signature(test).parameters})

    try:
        asyncio.run(judge())
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a broken database may fail its promise in any way
        return False
    return True


@pytest.mark.once
@pytest.mark.parametrize("service_class", BROKEN, ids=lambda broken: f"{broken.breaks}-{broken.__name__}")
def test_broken_database_fails_its_own_promise_and_no_other(service_class: Any, tmp_path: Path) -> None:
    """A database that is wrong in one way is found out by the promise about it."""
    found = failures(service_class, tmp_path)

    assert found == {service_class.breaks}, service_class.__doc__


def test_right_database_keeps_every_promise(tmp_path: Path) -> None:
    """What fails a broken database is its fault, and not the judge's."""
    assert failures(SqliteDatabaseService, tmp_path) == set()


def test_every_promise_is_broken_by_somebody() -> None:
    """No promise is kept only because nothing could break it."""
    assert {broken.breaks for broken in BROKEN} == {kept.number for kept in list_promises(DatabaseConformance)}
