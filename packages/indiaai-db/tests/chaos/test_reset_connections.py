"""Connections are reset under load, also while they commit: what was said of each transaction is what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio
import pytest
from pydantic import SecretStr

from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from ledger import DICE, Crew, Ledger, asked_rounds, create_numbers
from resetting import ResettingNetwork

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server whose tables are empty."""
    with PostgresqlServer() as server:
        yield server


def new_service(url: str) -> PostgresqlDatabaseService:
    """Return a service that checks every commit whose answer was lost."""
    settings = {"url": SecretStr(url), "check_commits": "always", "connect_timeout_seconds": 5.0}
    return PostgresqlDatabaseService(PostgresqlSettings.model_validate(settings))


async def test_every_transaction_is_what_it_was_said_to_be_while_connections_are_reset(
    server: PostgresqlServer, report: Callable[[str], None]
) -> None:
    """What was acknowledged is there, what was refused is not, and as the server lived on, nothing is left unknown."""
    ledger = Ledger()
    async with ResettingNetwork(server.url).serving() as network, new_service(network.url) as service:
        await create_numbers(service)
        crew = Crew(service, ledger, pause_seconds=0)
        async with crew.working():
            for _ in range(asked_rounds(300)):
                await anyio.sleep(DICE.uniform(0, 0.05))  # the moment of the reset
                network.reset_one(DICE)
            await crew.wait_for_acknowledgement()
        missing, risen = await ledger.missing_and_risen(service)

    report(f"{network.count} connections reset; {ledger.figures()}")
    assert (missing, risen) == (set(), set())
    assert ledger.unknown == set()
    assert ledger.stale == []
