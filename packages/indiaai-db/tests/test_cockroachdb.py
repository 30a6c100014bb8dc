"""What is done otherwise for CockroachDB, against a PostgreSQL in its clothes: it says and lacks what CockroachDB does.

No real CockroachDB is met here: its own conflicts, schema changes and types are not what this shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_db import CommitUnknown, TransactionConflict
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.postgresql.url import PostgresqlUrl
from indiaai_db.testing.tables import Account, create_tables, read_balance

pytestmark = pytest.mark.anyio

DISGUISE = """
CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT 'CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)' $$;
ALTER FUNCTION pg_catalog.pg_is_in_recovery() RENAME TO hidden_in_recovery;
ALTER FUNCTION pg_catalog.pg_current_xact_id_if_assigned() RENAME TO hidden_xact_id;
ALTER FUNCTION pg_catalog.pg_control_checkpoint() RENAME TO hidden_checkpoint;
ALTER TYPE pg_catalog.json RENAME TO hidden_json;
"""

FAIL_AT_COMMIT = """
CREATE FUNCTION fail_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.balance = {balance} AND nextval('tries') <= {times}
    THEN RAISE EXCEPTION 'restart transaction' USING ERRCODE = '{state}'; END IF; RETURN NULL; END $$;
CREATE SEQUENCE tries;
CREATE CONSTRAINT TRIGGER fails AFTER UPDATE ON conformance_account DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION fail_at_commit();
"""


async def administer(url: str, statements: str) -> None:
    """Run statements by a connection of their own."""
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


@pytest.fixture
async def service(postgresql_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
    """A service that was given a URL of CockroachDB's."""
    await administer(postgresql_url, DISGUISE)
    url = postgresql_url.replace("postgres://", "cockroachdb://")
    async with PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(url))) as service:
        yield service


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cockroachdb://u@h/d", True),
        ("cockroachdb+asyncpg://u@h:5432/d", True),
        ("cockroach://u@h/d", True),
        ("postgresql://u@free.cockroachlabs.cloud:26257/d?sslmode=verify-full", True),
        ("postgresql://u@a:26257,b:26257/d", True),
        ("postgres://u@h/d", False),
        ("postgres://u:26257@h:5432/d", False),
    ],
)
def test_a_cockroachdb_is_known_by_its_scheme_or_its_port(given: str, expected: bool) -> None:
    """The provider prints `postgresql://` with the port 26257, other clients want `cockroachdb://`: both are understood."""
    assert PostgresqlUrl.parse(given).is_cockroachdb is expected


async def test_nothing_is_asked_that_cockroachdb_does_not_know(service: PostgresqlDatabaseService) -> None:
    """Check, sessions, `run` and JSON work on a server that lacks what CockroachDB lacks."""
    await service.check()
    await create_tables(service)

    async def add_one(session: AsyncSession) -> None:
        (await session.get_one(Account, 1)).balance += 1

    await service.run(add_one)
    async with service.session() as session:
        value = await session.scalar(text("""SELECT '{"a": [1]}'::jsonb"""))
        isolation = await session.scalar(text("SHOW transaction_isolation"))

    assert (await read_balance(service), value, isolation) == (1, {"a": [1]}, "serializable")


async def test_a_conflict_at_commit_is_retried(service: PostgresqlDatabaseService, postgresql_url: str) -> None:
    """CockroachDB may find a conflict only at COMMIT (40001): `run` does the transaction again, `session` says so."""
    await create_tables(service)
    await administer(postgresql_url, FAIL_AT_COMMIT.format(balance=7, times=3, state="40001"))
    calls: list[Any] = []

    async def set_seven(session: AsyncSession) -> None:
        calls.append(session)
        (await session.get_one(Account, 1)).balance = 7

    with pytest.raises(TransactionConflict, match="restart transaction"):
        async with service.session() as session:
            await set_seven(session)
    await asyncio.wait_for(service.run(set_seven), 10)

    assert len(calls) == 4
    assert await read_balance(service) == 7


async def test_a_result_that_is_ambiguous_is_an_unknown_commit(service: PostgresqlDatabaseService, postgresql_url: str) -> None:
    """What CockroachDB says of a COMMIT that another node did not answer (40003) is CommitUnknown, and is not repeated."""
    await create_tables(service)
    await administer(postgresql_url, FAIL_AT_COMMIT.format(balance=7, times=9, state="40003"))
    calls: list[Any] = []

    async def set_seven(session: AsyncSession) -> None:
        calls.append(session)
        (await session.get_one(Account, 1)).balance = 7

    with pytest.raises(CommitUnknown):
        await service.run(set_seven)

    assert len(calls) == 1
