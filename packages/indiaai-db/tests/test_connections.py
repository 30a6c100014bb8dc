"""How long the backend `postgresql` waits for servers that say nothing, and how it comes in: hosts, timeouts, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
import trustme
from pydantic import SecretStr
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from cluster import freeze, thaw
from indiaai_core import BackendUnavailable, ConfigurationError
from indiaai_db import CommitUnknown
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.postgresql.connection import PostgresqlConnection
from indiaai_db.postgresql.opener import Opener
from indiaai_db.postgresql.url import PostgresqlUrl
from indiaai_db.testing import PostgresqlServer
from indiaai_db.testing.tables import Account, create_tables, read_balance

pytestmark = pytest.mark.anyio


def new_service(url: str, **settings: Any) -> PostgresqlDatabaseService:
    """Return a service for a URL."""
    return PostgresqlDatabaseService(PostgresqlSettings.model_validate({"url": SecretStr(url), **settings}))


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresqlServer]:
    """A server that only these tests use, and freeze."""
    with PostgresqlServer() as server:
        yield server


async def test_a_host_that_says_nothing_does_not_keep_the_next_one_from_being_asked(postgresql_url: str) -> None:
    """Of several hosts each has the connect timeout for itself, and one that was silent is asked last from then on."""
    parts = urlsplit(postgresql_url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{parts.port}"
        url = postgresql_url.replace(f"127.0.0.1:{parts.port}", hosts)
        async with new_service(url, connect_timeout_seconds=1) as service:
            await service.check()
            await service.engine.dispose()
            await service.check()
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nobody else came
            silent.accept()


async def test_an_error_names_every_host_that_did_not_answer() -> None:
    """Where none of several hosts answers, each is named with what it said."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [listener.getsockname()[1] for listener in (one, two)]
    async with new_service(f"postgres://u:p@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/d") as service:
        with pytest.raises(BackendUnavailable, match=rf"127.0.0.1:{ports[0]}/d does not.*127.0.0.1:{ports[1]}/d does not"):
            await service.check()


async def test_a_server_that_hangs_is_given_up_before_a_session_begins(own_server: PostgresqlServer) -> None:
    """A pooled connection that answers nothing is not waited for without end, and the pool recovers when the server does."""
    async with new_service(own_server.url, connect_timeout_seconds=0.5) as service:
        await service.check()
        freeze(own_server)
        try:
            with anyio.fail_after(20), pytest.raises(BackendUnavailable, match="does not answer"):
                await service.check()
        finally:
            thaw(own_server)

        await service.check()


async def test_a_statement_that_is_never_answered_ends_in_time(
    own_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a statement timeout, a server that hangs in the middle of a transaction or at its COMMIT holds nobody for ever."""
    monkeypatch.setattr("indiaai_db.postgresql.opener.GRACE_SECONDS", 0.5)
    settings = {"connect_timeout_seconds": 0.5, "statement_timeout_seconds": 0.5, "check_commits": "never"}
    async with new_service(own_server.url, **settings) as service:
        await service.check()

        async def meet_a_freeze(statement: str) -> None:
            async with service.session() as session:
                await session.execute(text("CREATE TEMPORARY TABLE own ON COMMIT DROP AS SELECT 1"))
                freeze(own_server)
                if statement:
                    await session.execute(text(statement))

        for statement, expected in (("SELECT 1", BackendUnavailable), ("", CommitUnknown)):
            try:
                with anyio.fail_after(30), pytest.raises(expected):
                    await meet_a_freeze(statement)
            finally:
                thaw(own_server)

        await service.check()


async def test_a_host_that_is_gone_is_noticed_by_the_kernel(postgresql_url: str) -> None:
    """Connections are kept alive, and given up within about half a minute when no acknowledgement comes back."""
    async with new_service(postgresql_url) as service, service.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        channel = driver._transport.get_extra_info("socket")
        is_kept_alive = channel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        patience = channel.getsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 0))

    assert is_kept_alive
    assert not hasattr(socket, "TCP_USER_TIMEOUT") or patience == 30_000


async def test_migrations_may_take_longer_than_a_statement(postgresql_url: str) -> None:
    """The statement timeout is for what the application does, not for a change of a large table."""
    async with new_service(postgresql_url, statement_timeout_seconds=0.1) as service:
        await service.migrate(lambda connection: connection.execute(text("SELECT pg_sleep(0.5)")))


async def test_a_migration_may_take_longer_than_a_transaction_may_idle(postgresql_url: str) -> None:
    """The transaction that keeps other instances from migrating does nothing meanwhile, and is not ended for it."""
    async with new_service(postgresql_url) as service:
        async with service.session() as session:
            await session.execute(
                text(f"ALTER DATABASE {urlsplit(postgresql_url).path[1:]} SET idle_in_transaction_session_timeout = '1s'")
            )
        await service.engine.dispose()

        await service.migrate(lambda connection: connection.execute(text("SELECT pg_sleep(2)")))


async def test_a_commit_may_take_longer_than_a_statement(postgresql_url: str) -> None:
    """A COMMIT that is given up may be there all the same, so none is: what it checks or waits for takes its time."""
    async with new_service(postgresql_url, statement_timeout_seconds=1) as service:
        await create_tables(service)
        async with service.session() as session:
            dawdle = (
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'"
            )
            late = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()"
            await session.execute(text(dawdle))
            await session.execute(text(f"CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON {Account.__tablename__} {late}"))

        async with service.session() as session:
            await session.execute(update(Account).values(balance=7))

        assert await read_balance(service) == 7


async def test_a_session_asks_for_a_sign_of_life_by_one_statement(postgresql_url: str) -> None:
    """It is one round trip and no transaction of its own; the rest of what is sent around a statement is BEGIN and ROLLBACK."""
    async with new_service(postgresql_url, pool_size=1) as service:
        await create_tables(service)
        sent: list[str] = []
        async with service.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_query_logger(lambda record: sent.append(record.query))
        await read_balance(service)

    assert sent == ["SELECT 1", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;", "ROLLBACK;"]


@asynccontextmanager
async def tls_door(url: str, certificates: trustme.CA, name: str) -> AsyncIterator[str]:
    """Stand before a server with a certificate for a name, and give the URL by which it is reached through here."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates.issue_cert(name).configure_cert(context)
    target = urlsplit(url)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readexactly(8))[4:] == b"\x04\xd2\x16\x2f":  # an SSLRequest; who speaks in the clear is sent away
            writer.write(b"S")
            with suppress(OSError):  # the client does not go on with who is not certified
                await writer.start_tls(context)
                from_server, to_server = await asyncio.open_connection(target.hostname, target.port)
                await asyncio.gather(pump(reader, to_server), pump(from_server, writer), return_exceptions=True)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield target._replace(netloc=f"{target.username}:{target.password}@localhost:{port}").geturl()


async def test_sslmode_is_honoured(postgresql_url: str, tmp_path: Path) -> None:
    """`require` encrypts whoever the server is, `verify-full` lets in who is certified, and nobody else; `disable` does not."""
    certificates = trustme.CA()
    certificates.cert_pem.write_to_path(f"{tmp_path}/root.pem")
    trusted = f"sslmode=verify-full&sslrootcert={tmp_path}/root.pem"

    async with tls_door(postgresql_url, certificates, "localhost") as url:
        for query in ("sslmode=require", "ssl=true", trusted):
            async with new_service(f"{url}?{query}") as service:
                await service.check()
        async with new_service(f"{url}?sslmode=disable") as service:
            with pytest.raises(BackendUnavailable):
                await service.check()
    async with tls_door(postgresql_url, certificates, "elsewhere.test") as url, new_service(f"{url}?{trusted}") as service:
        with pytest.raises(ConfigurationError, match="certificate is not trusted"):
            await service.check()


@pytest.mark.parametrize("statement_timeout_seconds", [None, 5])
async def test_a_commit_that_rolled_back_is_no_success(postgresql_url: str, statement_timeout_seconds: float | None) -> None:
    """Who goes on after a failed statement hears at the end that nothing is there; the server itself would not say so."""
    async with new_service(postgresql_url, statement_timeout_seconds=statement_timeout_seconds) as service:
        await create_tables(service)

        async def go_on_after_a_failure() -> None:
            async with service.session() as session:
                await session.execute(update(Account).values(balance=9))
                with pytest.raises(IntegrityError):
                    await session.execute(insert(Account).values(id=1))

        with pytest.raises(DBAPIError, match=r"rolled the transaction back|is aborted"):
            await go_on_after_a_failure()

        assert await read_balance(service) == 0


async def test_a_connection_lost_at_the_end_of_a_read_takes_nothing_back(postgresql_url: str) -> None:
    """What was read was read: a read-only session whose connection breaks before its end ends as if it had not."""
    async with new_service(postgresql_url) as service:
        await create_tables(service)
        async with service.session(read_only=True) as session:
            balance = await session.scalar(select(Account.balance))
            driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
            driver.terminate()

        assert (balance, await read_balance(service)) == (0, 0)


async def test_a_connection_that_breaks_as_it_is_made_is_an_unavailable_backend(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the handshake and what SQLAlchemy does with a new connection no error of the driver comes out bare."""
    connect = Opener._connect

    async def connect_and_lose(opener: Opener, url: PostgresqlUrl) -> PostgresqlConnection:
        connection = await connect(opener, url)
        connection.terminate()
        return connection

    monkeypatch.setattr(Opener, "_connect", connect_and_lose)
    async with new_service(postgresql_url) as service:
        with pytest.raises(BackendUnavailable, match="broke off as it was connected to"):
            await read_balance(service)


async def test_connections_are_made_anew_after_a_while(postgresql_url: str) -> None:
    """One that is older than DATABASE_POOL_RECYCLE_SECONDS is replaced when it is next asked for, a younger one is not."""

    async def pids(seconds: float) -> set[object]:
        async with new_service(postgresql_url, pool_recycle_seconds=seconds) as service:
            seen = set()
            for _ in range(3):
                async with service.session() as session:
                    seen.add(await session.scalar(text("SELECT pg_backend_pid()")))
                await anyio.sleep(0.02)
            return seen

    assert (len(await pids(0.01)), len(await pids(1800))) == (3, 1)


async def test_what_a_quiet_hour_does_not_need_is_left_to_grow_old(postgresql_url: str) -> None:
    """One after the other, sessions are given the connection that was used last."""
    async with new_service(postgresql_url, pool_size=2) as service:
        async with service.session() as one, service.session() as two:
            for session in (one, two):
                await session.execute(text("SELECT 1"))
        seen = set()
        for _ in range(4):
            async with service.session() as session:
                seen.add(await session.scalar(text("SELECT pg_backend_pid()")))

    assert len(seen) == 1


async def test_the_server_is_told_who_connects(postgresql_url: str) -> None:
    """It lists the application under DATABASE_APPLICATION_NAME, or as the URL says."""

    async def name(url: str) -> str:
        async with new_service(url, application_name="intake") as service, service.session() as session:
            return str(await session.scalar(text("SHOW application_name")))

    assert (await name(postgresql_url), await name(f"{postgresql_url}?application_name=reports")) == ("intake", "reports")
