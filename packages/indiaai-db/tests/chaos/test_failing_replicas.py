"""Replicas are killed, frozen and held back under load, while what is read never gets older than the setting allows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr

from cluster import Standby, cut_power, freeze, replicated, thaw
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from ledger import DICE, Crew, Ledger, asked_rounds, create_numbers

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

PAUSE_SECONDS = 1.0
TROUBLE_SECONDS = 2.0
"""How long a replica is in trouble: long enough to be left out."""


Treatment = Callable[[Standby], None]

TROUBLES: list[tuple[str, Treatment, Treatment]] = [
    ("killed", cut_power, Standby.restart),
    ("frozen", freeze, thaw),
    ("held back", Standby.hold_back, Standby.catch_up),
]
"""What may come over a replica, how it begins, and how it ends."""


def new_service(primary: PostgresqlServer, standbys: list[Standby]) -> PostgresqlDatabaseService:
    """Return a service on a primary with these replicas, of which each may be a second behind."""
    values = {
        "url": SecretStr(primary.url),
        "replica_urls": SecretStr(" ".join(standby.url for standby in standbys)),
        "replica_pause_seconds": PAUSE_SECONDS,
        "connect_timeout_seconds": 1.0,
        "statement_timeout_seconds": 2.0,
    }
    return PostgresqlDatabaseService(PostgresqlSettings.model_validate(values))


async def trouble(standby: Standby) -> str:
    """Kill, freeze or hold back a replica for a while, and return what it was."""
    kind, begin, end = DICE.choice(TROUBLES)
    await asyncio.to_thread(begin, standby)
    try:
        await anyio.sleep(DICE.uniform(0.2, TROUBLE_SECONDS))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(end, standby)
    return kind


async def test_no_read_is_too_old_while_replicas_die_hang_and_lag(report: Callable[[str], None]) -> None:
    """Requests read what they wrote, nobody reads what is older than a second, and every session ends in bounded time."""
    ledger, kinds = Ledger(), Counter[str]()
    with replicated(2) as (primary, standbys):
        async with new_service(primary, standbys) as service:
            await create_numbers(service)
            crew = Crew(service, ledger, PAUSE_SECONDS)
            async with crew.working(writers=4, readers=6):
                began = time.monotonic()
                for _ in range(asked_rounds(8)):
                    kinds[await trouble(DICE.choice(standbys))] += 1
                    await crew.wait_for_acknowledgement()
                seconds = time.monotonic() - began
            missing, risen = await ledger.missing_and_risen(service)

    report(f"replicas {dict(kinds)} in {seconds:.0f} s; {ledger.figures()}")
    assert (ledger.stale, ledger.old_reads) == ([], 0)
    assert (missing, risen) == (set(), set())
    assert ledger.reads > ledger.refused_reads
