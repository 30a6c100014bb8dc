"""A PgBouncer is killed under load, and the server behind it restarted: both are found again without a restart here."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from ledger import DICE, Crew, Ledger, asked_rounds, create_numbers
from pgbouncer import PgBouncer, find_pgbouncer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.chaos,
    pytest.mark.skipif(find_pgbouncer() is None, reason="there is no pgbouncer installed"),
]

RECOVERY_SECONDS = 30.0
"""In what time a transaction must be acknowledged again."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server that only this test uses, and restarts."""
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def pooler(server: PostgresqlServer) -> Iterator[PgBouncer]:
    """A pooler with four connections, which tries again every second to reach a server that was gone."""
    with (
        tempfile.TemporaryDirectory(prefix="indiaai-pgbouncer-") as folder,
        PgBouncer(server, Path(folder), size=4, more="server_login_retry = 1") as pooler,
    ):
        yield pooler


async def test_a_pool_outlives_its_pooler_and_the_server_behind_that(
    server: PostgresqlServer, pooler: PgBouncer, report: Callable[[str], None]
) -> None:
    """What was acknowledged is there, what was refused is not, and a little later all is as before."""
    ledger, recoveries = Ledger(), list[float]()
    values = {"url": SecretStr(pooler.database_url("postgres")), "pool_size": 20, "statement_timeout_seconds": 5.0}
    async with PostgresqlDatabaseService(PostgresqlSettings.model_validate(values)) as service:
        await create_numbers(service)
        crew = Crew(service, ledger, pause_seconds=0)
        async with crew.working(writers=10, readers=10):
            for number in range(asked_rounds(8)):
                await anyio.sleep(DICE.uniform(0.2, 0.8))  # the moment of death
                await asyncio.to_thread(server.restart if number % 2 else pooler.restart)
                recoveries.append(await crew.wait_for_acknowledgement())
        missing, risen = await ledger.missing_and_risen(service)

    report(f"{len(recoveries)} restarts, written again {max(recoveries):.2f} s after at most; {ledger.figures()}")
    assert (missing, risen) == (set(), set())
    assert max(recoveries) < RECOVERY_SECONDS
