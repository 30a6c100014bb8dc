"""What the backend `postgresql` promises beyond the contract: refusals, lost connections, replicas, cancellations."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core import BackendUnavailable, ConfigurationError, Platform
from indiaai_db import CommitUnknown, TransactionConflict
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing.server import PASSWORD, PostgresqlServer
from indiaai_db.testing.tables import Account, create_tables, read_balance

pytestmark = pytest.mark.anyio

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def new_service(url: str, **settings: Any) -> PostgresqlDatabaseService:
    """Return a service for a URL."""
    return PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(url), **settings))


@pytest.fixture
async def service(postgresql_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
    """An open service on an empty database, with a pool of 2."""
    async with new_service(postgresql_url, pool_size=2, pool_timeout_seconds=5) as service:
        yield service


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_the_platform_serves_postgresql_from_a_providers_url(postgresql_url: str) -> None:
    """With DATABASE_URL as other clients print it, a platform opens PostgreSQL and runs a transaction."""
    url = f"{postgresql_url}?sslmode=disable&channel_binding=prefer&pgbouncer=true&connect_timeout=10"
    settings = {"DATABASE_TYPE": "postgresql", "DATABASE_URL": url}

    async with Platform(settings) as platform:
        service = platform.get_service("database")
        await create_tables(service)
        assert await read_balance(service) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong-hunter2"}, "refuses the user or the password"),
        ({"database": "no_such_database"}, "no such database"),
        ({"query": "?no_such_parameter=1"}, "refuses a parameter"),
    ],
)
async def test_what_the_server_refuses_is_a_configuration_error(
    postgresql_url: str, change: dict[str, str], message: str
) -> None:
    """A wrong password, database or parameter is an error that names DATABASE_URL and shows no secret."""
    parts = urlsplit(postgresql_url)
    password = change.get("password", parts.password)
    database = change.get("database", parts.path[1:])
    url = f"postgres://{parts.username}:{password}@127.0.0.1:{parts.port}/{database}{change.get('query', '')}"

    async with new_service(url) as service:
        with pytest.raises(ConfigurationError, match=message) as raised:
            await service.check()

    assert raised.value.faults[0].variable == "DATABASE_URL"
    assert "hunter2" not in str(raised.value)
    assert PASSWORD not in str(raised.value)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Where nobody listens, check, session and upgrade say that the host does not answer."""
    async with new_service(f"postgres://u:p@127.0.0.1:{closed_port()}/d") as service:
        with pytest.raises(BackendUnavailable, match="does not answer"):
            await service.check()
        with pytest.raises(BackendUnavailable, match="does not answer"):
            async with service.session() as session:
                await session.execute(text("SELECT 1"))


async def test_a_server_that_says_nothing_is_unavailable_in_time() -> None:
    """A host that accepts and never answers is given up after the connect timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://u:p@127.0.0.1:{silent.getsockname()[1]}/d"
        async with new_service(url, connect_timeout_seconds=0.3) as service:
            with anyio.fail_after(3), pytest.raises(BackendUnavailable, match="does not answer"):
                await service.check()


async def test_several_hosts_are_tried(postgresql_url: str) -> None:
    """Of several hosts in the URL, the first one that answers and takes writes is used."""
    parts = urlsplit(postgresql_url)
    url = postgresql_url.replace(f"127.0.0.1:{parts.port}", f"127.0.0.1:{closed_port()},127.0.0.1:{parts.port}")

    async with new_service(url) as service:
        await service.check()


async def test_cancelled_statements_stop_on_the_server(service: PostgresqlDatabaseService) -> None:
    """Ten cancelled sessions leave no statement running and no connection beyond the pool."""

    async def sleep_on_the_server() -> None:
        with anyio.move_on_after(0.1):
            async with service.session() as session:
                await session.execute(text("SELECT pg_sleep(30)"))

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(sleep_on_the_server())

    async with service.session() as session:
        with anyio.fail_after(5):
            while await session.scalar(text(f"SELECT count(*) {OTHERS} AND query LIKE '%pg_sleep(30)'")):
                await session.execute(text("SELECT pg_stat_clear_snapshot(), pg_sleep(0.05)"))
        connections = await session.scalar(text(f"SELECT count(*) {OTHERS}"))

    assert connections is not None
    assert connections < 2


@pytest.mark.parametrize("milliseconds", range(0, 20, 2))
async def test_cancelling_while_connecting_leaves_nothing(postgresql_url: str, milliseconds: int) -> None:
    """Whenever the cancellation comes, no task, no connection and no warning is left, and the next session works."""
    service = new_service(postgresql_url)
    tasks = asyncio.all_tasks()

    with anyio.move_on_after(milliseconds / 1000):
        await service.check()
    task = asyncio.create_task(service.check())
    await asyncio.wait([task], timeout=milliseconds / 1000)
    task.cancel()
    await asyncio.wait([task])
    await service.check()
    await service.aclose()

    assert asyncio.all_tasks() == tasks


async def test_a_lost_connection_is_unavailable_and_the_next_session_works(service: PostgresqlDatabaseService) -> None:
    """A connection that the server cuts within a transaction is an error worth a retry; the pool gets a new one."""
    await create_tables(service)

    async def be_cut_off() -> None:
        async with service.session() as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await _terminate(service, pid)
            await session.execute(update(Account).values(balance=9))

    with pytest.raises(BackendUnavailable, match="broke off"):
        await be_cut_off()

    assert await read_balance(service) == 0


async def test_a_connection_lost_at_commit_is_an_unknown_commit(postgresql_url: str) -> None:
    """When the connection is gone at COMMIT, the error says that nobody knows, and `run` does not repeat the transaction."""
    calls = []

    async def be_cut_off(session: AsyncSession) -> None:
        calls.append(session)
        await session.execute(update(Account).values(balance=9))
        await _terminate(unchecked, await session.scalar(text("SELECT pg_backend_pid()")))

    async with new_service(postgresql_url, check_commits="never") as unchecked:
        await create_tables(unchecked)
        with pytest.raises(CommitUnknown, match="whole, or not at all"):
            await unchecked.run(be_cut_off)

        assert len(calls) == 1
        assert await read_balance(unchecked) == 0


async def test_deadlocks_are_retried_by_run(service: PostgresqlDatabaseService) -> None:
    """Two transactions that lock two rows in opposite order both succeed through `run`."""
    await create_tables(service)
    async with service.session() as session:
        session.add(Account(id=2))
    meeting = asyncio.Barrier(2)

    async def lock_both(session: AsyncSession, first: int, second: int) -> None:
        await session.execute(update(Account).where(Account.id == first).values(balance=Account.balance + 1))
        if not meeting.broken:
            try:
                await asyncio.wait_for(meeting.wait(), 2)
            except (TimeoutError, asyncio.BrokenBarrierError):
                await meeting.abort()
        await session.execute(update(Account).where(Account.id == second).values(balance=Account.balance + 1))

    await asyncio.gather(
        service.run(lambda session: lock_both(session, 1, 2)), service.run(lambda session: lock_both(session, 2, 1))
    )

    assert [await read_balance(service, 1), await read_balance(service, 2)] == [2, 2]


async def test_a_pool_that_is_used_up_is_a_conflict_that_says_so(postgresql_url: str) -> None:
    """Who waits too long for a connection hears that others hold all of them."""
    async with new_service(postgresql_url, pool_size=1, pool_timeout_seconds=0.2) as service, service.session() as outer:
        await outer.execute(text("SELECT 1"))
        with pytest.raises(TransactionConflict, match="No connection became free"):
            async with service.session() as inner:
                await inner.execute(text("SELECT 1"))


async def test_a_restarted_server_is_found_again() -> None:
    """After the server was stopped and started, the pool's old connections are replaced without an error."""
    with PostgresqlServer() as server:
        async with new_service(server.url) as service:
            await create_tables(service)
            await anyio.to_thread.run_sync(server.restart)

            assert await read_balance(service) == 0


async def test_statement_timeout_is_a_setting(postgresql_url: str) -> None:
    """A statement that takes longer than DATABASE_STATEMENT_TIMEOUT_SECONDS is stopped by the server."""
    async with new_service(postgresql_url, statement_timeout_seconds=0.1) as service:
        with pytest.raises(BackendUnavailable, match="statement timeout"):
            async with service.session() as session:
                await session.execute(text("SELECT pg_sleep(5)"))


async def test_nothing_is_prepared_on_the_server_by_default(service: PostgresqlDatabaseService) -> None:
    """No statement stays prepared on a server's connection, so that a pooler may give it to anybody."""
    await create_tables(service)
    for _ in range(8):
        await read_balance(service)

    async with service.session() as session:
        left = (await session.scalars(text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"))).all()

    assert left == [0]


async def test_sessions_and_run_have_the_isolation_they_promise(service: PostgresqlDatabaseService) -> None:
    """A session is REPEATABLE READ, a read-only one READ ONLY besides, and what `run` does is SERIALIZABLE."""

    async def isolation(session: AsyncSession) -> tuple[str, str]:
        names = ("transaction_isolation", "transaction_read_only")
        level, read_only = [str(await session.scalar(text(f"SHOW {name}"))) for name in names]
        return level, read_only

    async with service.session() as session:
        writing = await isolation(session)
    async with service.session(read_only=True) as session:
        reading = await isolation(session)

    assert writing == ("repeatable read", "off")
    assert reading == ("repeatable read", "on")
    assert await service.run(isolation) == ("serializable", "off")


async def test_replicas_serve_read_only_sessions_until_the_task_commits(postgresql_url: str) -> None:
    """Read-only sessions go to the replica, after a commit of the same task to the primary; other tasks stay there."""
    replica_url = f"{postgresql_url}?application_name=replica"

    async def name(session: AsyncSession) -> str:
        return str(await session.scalar(text("SHOW application_name")))

    async with new_service(postgresql_url, replica_urls=SecretStr(replica_url)) as service:

        async def read() -> str:
            async with service.session(read_only=True) as session:
                return await name(session)

        before = await read()
        async with asyncio.TaskGroup() as group:  # its own context: what it commits is not this task's
            group.create_task(create_tables(service))
        other = await read()
        async with service.session() as session:
            writer = await name(session)
        after = await read()

    assert (before, other, writer, after) == ("replica", "replica", "indiaai", "indiaai")


async def test_a_dead_replica_is_left_out(postgresql_url: str) -> None:
    """Where no replica answers, read-only sessions go to the primary."""
    dead = SecretStr(f"postgres://u:p@127.0.0.1:{closed_port()}/d")

    async with new_service(postgresql_url, replica_urls=dead) as service:
        await create_tables(service)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_balance(service))

    assert reading.result() == 0


async def test_a_database_that_takes_no_writes_fails_its_check(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    """A primary that became read-only is left, and said to take no writes; when it does again, the service goes on."""
    name = urlsplit(postgresql_url).path[1:]
    admin = await asyncpg.connect(postgresql_server.url)
    async with new_service(postgresql_url) as service:
        await create_tables(service)
        try:
            # The connections that are open go on as they were: only those that follow are read-only, as after a failover.
            await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await _write(service, 1)
            await service.engine.dispose()
            with pytest.raises(BackendUnavailable, match="does not answer"):
                await _write(service, 9)
        finally:
            await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
            await admin.close()

        await _write(service, 2)
        assert await read_balance(service) == 2


async def test_a_connection_that_became_read_only_is_replaced(service: PostgresqlDatabaseService) -> None:
    """The error of a demoted primary makes the pool connect anew, so that the next session finds the new primary."""
    await create_tables(service)
    backends = []

    async def become_read_only() -> None:
        async with service.session() as session:
            backends.append(await session.scalar(text("SELECT pg_backend_pid()")))
            await session.execute(text("SET default_transaction_read_only = on"))
            await session.execute(text("SET transaction_read_only = on"))
            await session.execute(update(Account).values(balance=9))

    with pytest.raises(BackendUnavailable, match="primary changed"):
        await become_read_only()

    async with service.session() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) not in backends
    await _write(service, 1)
    assert await read_balance(service) == 1


async def test_a_session_reads_what_was_selected_with_a_model(service: PostgresqlDatabaseService) -> None:
    """The engine and sessions serve the same tables."""
    await create_tables(service)

    async with service.engine.connect() as connection:
        rows = (await connection.execute(select(Account.id, Account.balance))).all()

    assert [tuple(row) for row in rows] == [(1, 0)]


async def _write(service: PostgresqlDatabaseService, balance: int) -> None:
    async with service.session() as session:
        await session.execute(update(Account).values(balance=balance))


async def _terminate(service: PostgresqlDatabaseService, pid: object) -> None:
    async with service.session() as session:
        await session.execute(text(f"SELECT pg_terminate_backend({pid})"))
        with anyio.fail_after(5):
            while await session.scalar(text(f"SELECT count(*) {OTHERS} AND pid = {pid}")):
                await session.execute(text("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)"))
