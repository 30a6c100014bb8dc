"""The backend `postgresql` behind a real PgBouncer in transaction mode: statements of one client go over many connections."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from pydantic import SecretStr
from sqlalchemy import ARRAY, Column, Enum, Integer, MetaData, Table, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core import BackendUnavailable
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from indiaai_db.testing.tables import Account, create_tables, read_balance
from pgbouncer import PgBouncer, find_pgbouncer

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(find_pgbouncer() is None, reason="there is no pgbouncer installed")]

SERVER_CONNECTIONS = 3


@pytest.fixture(scope="module")
def pooler(postgresql_server: PostgresqlServer) -> Iterator[PgBouncer]:
    """A pooler with three connections to the server, for everybody."""
    with (
        tempfile.TemporaryDirectory(prefix="indiaai-pgbouncer-") as folder,
        PgBouncer(postgresql_server, Path(folder), size=SERVER_CONNECTIONS) as pooler,
    ):
        yield pooler


@pytest.fixture
def pooler_url(pooler: PgBouncer, postgresql_url: str) -> str:
    """The URL by which an empty database is reached through the pooler."""
    return pooler.database_url(urlsplit(postgresql_url).path[1:])


def new_service(url: str, **settings: Any) -> PostgresqlDatabaseService:
    """Return a service for a URL, with more connections than the pooler has."""
    values = {"url": SecretStr(url), "pool_size": 40, "pool_timeout_seconds": 60} | settings
    return PostgresqlDatabaseService(PostgresqlSettings.model_validate(values))


@pytest.fixture
async def service(pooler_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
    """A service behind the pooler, with nothing set for that."""
    async with new_service(pooler_url) as service:
        yield service


async def test_hundreds_of_transactions_at_once_go_through_few_connections(service: PostgresqlDatabaseService) -> None:
    """Of 300 transactions at once, reading, writing and repeated ones, none fails and none is lost."""
    await create_tables(service)
    async with service.session() as session:
        session.add_all(Account(id=number) for number in range(2, 102))

    async def add_one(session: AsyncSession) -> None:
        account = await session.get_one(Account, 1)
        account.balance += 1

    async def add_to(number: int) -> None:
        async with service.session() as session:
            await session.execute(update(Account).where(Account.id == number).values(balance=Account.balance + 1))
            await session.execute(select(func.count()).select_from(Account).where(Account.id > number))

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(service.run(add_one, timeout_seconds=60))
            group.create_task(add_to(number + 2))
            group.create_task(read_balance(service, number + 2))

    async with service.session(read_only=True) as session:
        backends = await session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"))
        total = await session.scalar(select(func.sum(Account.balance)).where(Account.id > 1))
    assert (await read_balance(service), total) == (100, 100)
    assert backends is not None
    assert backends <= SERVER_CONNECTIONS


async def test_types_that_the_driver_looks_up_work_behind_it(service: PostgresqlDatabaseService) -> None:
    """What asyncpg asks the server about types, enumerations and arrays of them, needs no connection to stay the same."""
    colours = Enum("red", "blue", name="colour")
    table = Table("painted", MetaData(), Column("id", Integer, primary_key=True), Column("colours", ARRAY(colours)))
    async with service.engine.begin() as connection:
        await connection.run_sync(table.metadata.create_all)

    async def paint(number: int) -> list[str] | None:
        async with service.session() as session:
            await session.execute(insert(table).values(id=number, colours=["blue", "red"]))
            return await session.scalar(select(table.c.colours).where(table.c.id == number))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(paint(number)) for number in range(60)]

    assert [task.result() for task in tasks] == [["blue", "red"]] * 60


async def test_a_statement_timeout_holds_behind_it_and_reaches_nobody_else(
    service: PostgresqlDatabaseService, pooler_url: str
) -> None:
    """DATABASE_STATEMENT_TIMEOUT_SECONDS ends a statement, and no server connection keeps it for the next client."""
    async with new_service(pooler_url, statement_timeout_seconds=0.2) as hasty:
        for _ in range(4 * SERVER_CONNECTIONS):
            with pytest.raises(BackendUnavailable, match="statement timeout"):
                async with hasty.session() as session:
                    await session.execute(text("SELECT pg_sleep(30)"))

    async def timeout() -> str:
        async with service.session(read_only=True) as session:
            return str(await session.scalar(text("SELECT current_setting('statement_timeout'), pg_sleep(0.05)")))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(timeout()) for _ in range(4 * SERVER_CONNECTIONS)]

    assert {task.result() for task in tasks} == {"0"}


async def test_what_belongs_to_a_transaction_ends_with_it(service: PostgresqlDatabaseService) -> None:
    """SET LOCAL, locks of a transaction and its temporary tables work behind it, and leave nothing to the next client."""

    async def use(session: AsyncSession, number: int) -> None:
        assert await session.scalar(text("SELECT current_setting('work_mem')")) != "123kB"
        assert await session.scalar(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": number})
        await session.execute(text("SET LOCAL work_mem = '123kB'"))
        await session.execute(text("CREATE TEMPORARY TABLE own (id int) ON COMMIT DROP"))
        await session.execute(text("INSERT INTO own VALUES (1)"))
        assert await session.scalar(text("SELECT current_setting('work_mem')")) == "123kB"

    async def use_one(number: int) -> None:
        async with service.session() as session:
            await use(session, number)

    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(use_one(number))


async def test_one_process_at_a_time_migrates_behind_it(service: PostgresqlDatabaseService) -> None:
    """The lock for changing the schema holds whichever server connections the transactions are given."""
    inside = 0
    most = 0
    async with service.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE made (id int)"))

    def work(connection: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        connection.execute(text("INSERT INTO made SELECT 1 FROM pg_sleep(0.02)"))
        connection.commit()
        inside -= 1

    with anyio.fail_after(60):
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(service.migrate(work))

    async with service.session(read_only=True) as session:
        assert await session.scalar(text("SELECT count(*) FROM made")) == 6
    assert most == 1


async def test_a_cancelled_statement_stops_on_the_server_behind_it(service: PostgresqlDatabaseService) -> None:
    """The pooler passes the cancellation on, and the server connection serves the next client."""
    for _ in range(2 * SERVER_CONNECTIONS):
        with anyio.move_on_after(0.1):
            async with service.session() as session:
                await session.execute(text("SELECT pg_sleep(60)"))

    with anyio.fail_after(30):
        async with service.session() as session:
            while await session.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%sleep(60)'"
                    " AND state = 'active' AND pid <> pg_backend_pid()"
                )
            ):
                await session.execute(text("SELECT pg_stat_clear_snapshot(), pg_sleep(0.05)"))


async def test_a_replica_behind_it_is_watched(service: PostgresqlDatabaseService, pooler_url: str) -> None:
    """Where a replica's URL leads through a pooler too, read-only sessions are given it."""
    replica_urls = SecretStr(f"{pooler_url}?application_name=replica")
    async with new_service(pooler_url, replica_urls=replica_urls) as reading, reading.session(read_only=True) as session:
        name = await session.scalar(text("SELECT current_setting('application_name')"))

    assert name == "replica"
