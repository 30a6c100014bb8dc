"""Primaries are killed under load, the replica that has come furthest is promoted, and the pool finds it by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

import anyio
import pytest
from pydantic import SecretStr

from cluster import Standby, ask, cut_power, freeze, wait_until
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from ledger import DICE, Crew, Ledger, asked_rounds, create_numbers

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

RECOVERY_SECONDS = 30.0
"""In what time after a promotion a transaction must be acknowledged."""

UNHEARD_SECONDS = 1.0
"""How long before a death a COMMIT may have been answered that no replica had heard of."""

PAUSE_SECONDS = 2.0


class House:
    """A primary and two replicas; in place of one that died comes a new replica, on the same port."""

    def __init__(self, stack: ExitStack, *, is_synchronous: bool) -> None:
        """Start all three."""
        self._stack = stack
        self.primary = stack.enter_context(PostgresqlServer())
        if is_synchronous:
            ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
            ask(self.primary, "SELECT pg_reload_conf()")
        self.standbys = [stack.enter_context(Standby(self.primary)) for _ in range(2)]
        self._wait_until_followed()

    def new_service(self) -> PostgresqlDatabaseService:
        """Return a service that knows all three, as what may be the primary and as replicas."""
        servers = [self.primary, *self.standbys]
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        values = {
            "url": SecretStr(self.primary.url.replace(f"127.0.0.1:{self.primary.port}", hosts)),
            "replica_urls": SecretStr(" ".join(server.url for server in servers)),
            "replica_pause_seconds": PAUSE_SECONDS,
            "connect_timeout_seconds": 1.0,
            "statement_timeout_seconds": 2.0,
        }
        return PostgresqlDatabaseService(PostgresqlSettings.model_validate(values))

    def fail_over(self, *, is_hanging: bool) -> None:
        """Lose the primary, and promote the replica that has come furthest."""
        lost = self.primary
        if is_hanging:
            freeze(lost)
        else:
            cut_power(lost)
        self._wait_until_nothing_arrives()
        self.standbys.sort(key=_received)
        new = self.standbys.pop()
        new.promote()
        self.primary = new
        for standby in self.standbys:
            standby.follow(new)

    def replace(self, lost: PostgresqlServer) -> None:
        """Start a new replica in place of what was the primary."""
        cut_power(lost)  # whoever promotes must see to it: one that hung would take writes again
        lost.stop()
        self.standbys.append(self._stack.enter_context(Standby(self.primary, port=lost.port)))
        self._wait_until_followed()

    def _wait_until_nothing_arrives(self) -> None:
        # What was on its way still comes in. One that then has more than the promoted one could never follow it.
        seen: list[list[int]] = []

        def is_still() -> bool:
            seen.append([_received(standby) for standby in self.standbys])
            return seen[-10:] == [seen[-1]] * 10

        wait_until(is_still, "nothing arrives any more")

    def _wait_until_followed(self) -> None:
        count = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: ask(self.primary, count) == len(self.standbys), "every replica follows")


def _received(standby: Standby) -> int:
    return int(ask(standby, "SELECT pg_last_wal_receive_lsn() - '0/0'"))


async def lose_primaries(house: House, ledger: Ledger, *, rounds: int) -> tuple[list[float], list[float]]:
    """Lose primaries under load, each second one by its hanging, and return the deaths and how long it took to write again."""
    deaths: list[float] = []
    recoveries: list[float] = []
    async with house.new_service() as service:
        await create_numbers(service)
        crew = Crew(service, ledger, PAUSE_SECONDS)
        async with crew.working():
            for number in range(rounds):
                await anyio.sleep(DICE.uniform(0.5, 1.5))  # the moment of death
                lost = house.primary
                deaths.append(time.monotonic())
                await asyncio.to_thread(house.fail_over, is_hanging=number % 2 == 1)
                recoveries.append(await crew.wait_for_acknowledgement())
                await asyncio.to_thread(house.replace, lost)
            await crew.wait_for_acknowledgement()
    return deaths, recoveries


async def test_nothing_acknowledged_is_lost_when_primaries_die_and_a_replica_was_waited_for(
    report: Callable[[str], None],
) -> None:
    """With synchronous replication what was committed is there, what was refused is not, and no request reads too old."""
    ledger = Ledger()
    with ExitStack() as stack:
        house = await asyncio.to_thread(House, stack, is_synchronous=True)
        _, recoveries = await lose_primaries(house, ledger, rounds=asked_rounds(4))
        async with house.new_service() as service:
            missing, risen = await ledger.missing_and_risen(service)

    report(
        f"{len(recoveries)} primaries lost, written again {max(recoveries):.2f} s after a promotion at most; {ledger.figures()}"
    )
    assert (missing, risen) == (set(), set())
    assert (ledger.stale, ledger.old_reads) == ([], 0)
    assert max(recoveries) < RECOVERY_SECONDS


async def test_only_the_last_moment_is_lost_when_primaries_die_and_no_replica_was_waited_for(
    report: Callable[[str], None],
) -> None:
    """By default what was committed is there, but for what no replica had heard of when its primary died."""
    ledger = Ledger()
    with ExitStack() as stack:
        house = await asyncio.to_thread(House, stack, is_synchronous=False)
        deaths, recoveries = await lose_primaries(house, ledger, rounds=asked_rounds(4))
        async with house.new_service() as service:
            missing, risen = await ledger.missing_and_risen(service)

    report(
        f"{len(recoveries)} primaries lost, {len(missing)} transactions with them, "
        f"written again {max(recoveries):.2f} s after at most; {ledger.figures()}"
    )
    assert risen == set()
    for number in missing:
        assert min(abs(died - ledger.acknowledged[number]) for died in deaths) <= UNHEARD_SECONDS
    assert max(recoveries) < RECOVERY_SECONDS
