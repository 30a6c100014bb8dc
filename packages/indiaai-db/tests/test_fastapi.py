"""The database as an endpoint's parameter."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import IntegrityError

from indiaai_core import Platform
from indiaai_core.fastapi import install
from indiaai_db.fastapi import Database
from indiaai_db.testing.tables import Account, Entry, create_tables, read_balance

pytestmark = pytest.mark.anyio


def new_application(path: Path) -> tuple[FastAPI, Platform]:
    """Return an application that adds accounts, and its platform."""
    app = FastAPI()
    platform = install(app, platform=Platform({"SQLITE_DB_PATH": str(path)}))

    @app.post("/accounts/{number}")
    async def add(number: int, database: Database) -> str:
        async with database.session() as session:
            session.add(Account(id=number, balance=number))
        return threading.current_thread().name

    @app.post("/orphans")
    async def add_orphan(database: Database) -> None:
        async with database.session() as session:
            session.add(Entry(account_id=404))

    @app.post("/reads")
    async def write_while_reading(database: Database) -> None:
        async with database.session(read_only=True) as session:
            session.add(Account(id=9))

    return app, platform


async def test_what_an_endpoint_commits_is_there_before_its_answer(sqlite_path: Path) -> None:
    """The service comes as a parameter, on the event loop's own thread; an answer of 200 means that it is committed."""
    app, platform = new_application(sqlite_path)

    async with platform, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        await create_tables(platform.get_service("database"))
        answer = await client.post("/accounts/7")
        balance = await read_balance(platform.get_service("database"), 7)

    assert (answer.status_code, answer.json()) == (200, threading.current_thread().name)
    assert balance == 7


async def test_a_commit_that_fails_is_no_success(sqlite_path: Path) -> None:
    """A transaction that cannot be committed never answers 200, and leaves nothing."""
    app, platform = new_application(sqlite_path)

    async with platform, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        await create_tables(platform.get_service("database"))
        with pytest.raises(IntegrityError):
            await client.post("/orphans")
        answer = await client.post("/reads")

    assert answer.status_code == 500
