"""Which replicas read-only sessions are given, with servers that really stream to each other."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update

from cluster import Standby, ask, cut_power, freeze, replicated, thaw, wait_until
from indiaai_core import ConfigurationError
from indiaai_db.freshness import share_commits
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from indiaai_db.testing.tables import Account, create_tables

pytestmark = pytest.mark.anyio

LAG_SECONDS = 1.0


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresqlServer, list[Standby]]]:
    """A primary with two replicas."""
    with replicated(2) as servers:
        yield servers


@pytest.fixture
def primary(servers: tuple[PostgresqlServer, list[Standby]]) -> PostgresqlServer:
    """The primary."""
    return servers[0]


@pytest.fixture
def standbys(servers: tuple[PostgresqlServer, list[Standby]]) -> list[Standby]:
    """The replicas."""
    return servers[1]


def new_service(primary: PostgresqlServer, standbys: list[Standby], **settings: Any) -> PostgresqlDatabaseService:
    """Return a service on these servers, whose replicas may be a second behind."""
    replica_urls = SecretStr(" ".join(standby.url for standby in standbys))
    values = {"replica_urls": replica_urls, "replica_pause_seconds": LAG_SECONDS, "connect_timeout_seconds": 2.0} | settings
    return PostgresqlDatabaseService(PostgresqlSettings.model_validate({"url": SecretStr(primary.url), **values}))


@pytest.fixture
async def service(primary: PostgresqlServer, standbys: list[Standby]) -> AsyncIterator[PostgresqlDatabaseService]:
    """A service on all of them, with one account of balance 0."""
    async with new_service(primary, standbys) as service:
        await as_another(create_tables(service))
        yield service
        async with service.engine.begin() as connection:
            await connection.execute(
                text("DROP TABLE IF EXISTS conformance_account, conformance_entry, conformance_everything")
            )


async def as_another(work: Any) -> Any:
    """Do something as another task, such as another request, which has commits of its own."""
    return await asyncio.create_task(work)


async def set_balance(service: PostgresqlDatabaseService, balance: int) -> None:
    """Commit a balance."""
    async with service.session() as session:
        await session.execute(update(Account).values(balance=balance))


async def read(service: PostgresqlDatabaseService) -> tuple[int, int]:
    """Return the port of the server that a read-only session is given, and the balance there."""
    async with service.session(read_only=True) as session:
        row = (await session.execute(select(text("inet_server_port()"), Account.balance))).one()
        return row[0], row[1]


async def wait_for_ports(service: PostgresqlDatabaseService, *servers: PostgresqlServer) -> None:
    """Wait until read-only sessions are given these servers, each of them, and no other."""
    expected = {server.port for server in servers}
    seen: set[int] = set()
    with anyio.fail_after(30):
        while seen != expected:
            seen = {(await read(service))[0] for _ in range(2 * len(servers) + 2)}


async def test_replicas_are_read_from_in_turn(service: PostgresqlDatabaseService, standbys: list[Standby]) -> None:
    """Every replica gets its share of the read-only sessions, and the primary none."""
    await wait_for_ports(service, *standbys)


async def test_a_replica_that_falls_behind_is_left_out_and_comes_back(
    service: PostgresqlDatabaseService, primary: PostgresqlServer, standbys: list[Standby]
) -> None:
    """While a replica shows what is older than the setting allows, others are read from; when it has caught up, it is too."""
    await wait_for_ports(service, *standbys)

    await anyio.to_thread.run_sync(standbys[0].hold_back)
    await as_another(set_balance(service, 1))
    await wait_for_ports(service, standbys[1])
    await anyio.to_thread.run_sync(standbys[1].hold_back)
    await as_another(set_balance(service, 2))
    await wait_for_ports(service, primary)
    seen = (await read(service))[1]
    for standby in standbys:
        await anyio.to_thread.run_sync(standby.catch_up)
    await wait_for_ports(service, *standbys)

    assert seen == 2
    assert (await read(service))[1] == 2


async def test_an_idle_primary_makes_no_replica_look_late(service: PostgresqlDatabaseService, standbys: list[Standby]) -> None:
    """However long nothing is written, replicas that have all of it are read from."""
    await wait_for_ports(service, *standbys)
    async with service.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("SELECT pg_switch_wal()"))

    with anyio.move_on_after(2 * LAG_SECONDS):
        while True:
            await read(service)
    await wait_for_ports(service, *standbys)


async def test_a_task_never_reads_what_is_older_than_its_own_commit(
    service: PostgresqlDatabaseService, standbys: list[Standby]
) -> None:
    """With all replicas held back it reads its own writes, before the pause is over and after it."""
    await wait_for_ports(service, *standbys)
    for standby in standbys:
        await anyio.to_thread.run_sync(standby.hold_back)
    seen = set()

    async def write_and_read() -> None:
        await set_balance(service, 7)
        with anyio.move_on_after(2.5 * LAG_SECONDS):
            while True:
                seen.add((await read(service))[1])

    try:
        await as_another(write_and_read())
    finally:
        for standby in standbys:
            await anyio.to_thread.run_sync(standby.catch_up)

    assert seen == {7}


async def test_a_request_reads_what_its_tasks_committed(
    service: PostgresqlDatabaseService, primary: PostgresqlServer, standbys: list[Standby]
) -> None:
    """Once a request shares its commits, one of any of its tasks sends all of them to the primary."""
    await wait_for_ports(service, *standbys)

    async def request() -> int:
        share_commits()
        await as_another(set_balance(service, 3))
        return (await read(service))[0]

    assert await as_another(request()) == primary.port


async def test_a_replica_that_hangs_is_left_out_and_comes_back(
    service: PostgresqlDatabaseService, standbys: list[Standby], caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that are open and answer nothing hold nobody up for long, and the log tells of it."""
    caplog.set_level(logging.INFO, "indiaai.database")
    await wait_for_ports(service, *standbys)

    freeze(standbys[0])
    try:
        with anyio.fail_after(20):
            await wait_for_ports(service, standbys[1])
    finally:
        thaw(standbys[0])
    await wait_for_ports(service, *standbys)

    said = [record.message for record in caplog.records if str(standbys[0].port) in record.message]
    assert "is left out" in said[0]
    assert "is read from again" in said[-1]


async def test_a_replica_that_dies_is_not_noticed_and_comes_back(
    service: PostgresqlDatabaseService, standbys: list[Standby]
) -> None:
    """Sessions that begin after its death are all served; started again, it is read from again."""
    await wait_for_ports(service, *standbys)

    await anyio.to_thread.run_sync(cut_power, standbys[0])
    for _ in range(20):
        await read(service)
    await anyio.to_thread.run_sync(standbys[0].restart)
    await wait_for_ports(service, *standbys)


async def test_replicas_go_on_serving_while_no_primary_answers(
    service: PostgresqlDatabaseService, primary: PostgresqlServer, standbys: list[Standby]
) -> None:
    """What can be read is read, for longer than replicas may be behind."""
    await wait_for_ports(service, *standbys)

    await anyio.to_thread.run_sync(cut_power, primary)
    try:
        with anyio.move_on_after(2 * LAG_SECONDS):
            while True:
                await read(service)
        await wait_for_ports(service, *standbys)
    finally:
        await anyio.to_thread.run_sync(primary.restart)


async def test_servers_are_left_alone_when_nobody_reads(
    service: PostgresqlDatabaseService,
    primary: PostgresqlServer,
    standbys: list[Standby],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a while without reads nobody is connected but the pools, and who reads then is given replicas as before."""
    monkeypatch.setattr("indiaai_db.postgresql.replicas.IDLE_SECONDS", 0.2)
    watchers = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%replay_lsn%' AND pid <> pg_backend_pid()"

    def is_quiet() -> bool:
        return all(ask(server, watchers) == 0 for server in (primary, *standbys))

    for _ in range(20):  # also by somebody who comes just as the watch ends
        await wait_for_ports(service, *standbys)
        await anyio.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - a moment, not a secret
    await anyio.to_thread.run_sync(wait_until, is_quiet, "nobody watches")

    await wait_for_ports(service, *standbys)


async def test_a_replica_that_refuses_the_password_is_a_configuration_error(primary: PostgresqlServer) -> None:
    """A replica that never lets anybody in is said at start, with its own variable and no secret; reads go on meanwhile."""
    wrong = SecretStr(f"postgres://postgres:hunter2@127.0.0.1:{primary.port}/postgres")
    async with new_service(primary, [], replica_urls=wrong) as service:
        with pytest.raises(ConfigurationError, match="refuses the user or the password") as raised:
            await service.check()
        async with service.session(read_only=True) as session:
            assert await session.scalar(text("SELECT 1")) == 1

    assert raised.value.faults[0].variable == "DATABASE_REPLICA_URLS"
    assert "hunter2" not in str(raised.value)
