"""Primaries are killed under load, the replica that has come furthest is promoted, and the pool finds it by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

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
        for standby in self.standbys:
            standby.follow_nobody()
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
        # What was on its way still comes in. On a busy machine some may come later: whoever then had more than the promoted one
        # could never follow it, so nobody takes in any more before they are compared.
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


@dataclass(frozen=True)
class Losses:
    """What losing primaries came to.

    Attributes:
        deaths: When each was lost.
        recoveries: How long after each promotion a transaction was acknowledged.
        missing: Acknowledged numbers that are not there at the end.
        risen: Numbers that are there although they were rolled back.
    """

    deaths: list[float]
    recoveries: list[float]
    missing: set[int]
    risen: set[int]

    def __str__(self) -> str:
        """Say how many there were, and what they cost."""
        return (
            f"{len(self.recoveries)} primaries lost, {len(self.missing)} transactions with them, "
            f"written again {max(self.recoveries):.2f} s after a promotion at most"
        )


async def lose_primaries(ledger: Ledger, *, is_synchronous: bool) -> Losses:
    """Lose primaries under load, each second one by its hanging, and look at the end for what the ledger says."""
    deaths: list[float] = []
    recoveries: list[float] = []
    with ExitStack() as stack:
        house = await asyncio.to_thread(House, stack, is_synchronous=is_synchronous)
        async with house.new_service() as service:
            await create_numbers(service)
            crew = Crew(service, ledger, PAUSE_SECONDS)
            async with crew.working():
                for number in range(asked_rounds(4)):
                    await anyio.sleep(DICE.uniform(0.5, 1.5))  # the moment of death
                    lost = house.primary
                    deaths.append(time.monotonic())
                    await asyncio.to_thread(house.fail_over, is_hanging=number % 2 == 1)
                    recoveries.append(await crew.wait_for_acknowledgement())
                    await asyncio.to_thread(house.replace, lost)
                await crew.wait_for_acknowledgement()
        async with house.new_service() as service:
            return Losses(deaths, recoveries, *await ledger.missing_and_risen(service))


async def test_nothing_acknowledged_is_lost_when_primaries_die_and_a_replica_was_waited_for(
    report: Callable[[str], None],
) -> None:
    """With synchronous replication what was committed is there, what was refused is not, and no request reads too old."""
    ledger = Ledger()

    losses = await lose_primaries(ledger, is_synchronous=True)

    report(f"{losses}; {ledger.figures()}")
    assert (losses.missing, losses.risen) == (set(), set())
    assert (ledger.stale, ledger.old_reads) == ([], 0)
    assert max(losses.recoveries) < RECOVERY_SECONDS


async def test_only_the_last_moment_is_lost_when_primaries_die_and_no_replica_was_waited_for(
    report: Callable[[str], None],
) -> None:
    """By default what was committed is there, but for what no replica had heard of when its primary died."""
    ledger = Ledger()

    losses = await lose_primaries(ledger, is_synchronous=False)

    report(f"{losses}; {ledger.figures()}")
    assert losses.risen == set()
    for number in losses.missing:
        assert min(abs(died - ledger.acknowledged[number]) for died in losses.deaths) <= UNHEARD_SECONDS
    assert max(losses.recoveries) < RECOVERY_SECONDS
