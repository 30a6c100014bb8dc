"""Primaries are killed under load, the replica that has come furthest is promoted, and the pool finds it by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import anyio
import pytest
from pydantic import SecretStr

from cluster import Standby, ask, cut_power, freeze, wait_until
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing import PostgresqlServer
from ledger import DICE, TIMELINE, Crew, Ledger, asked_rounds, create_numbers

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

RECOVERY_SECONDS = 30.0
"""In what time after a promotion a transaction must be acknowledged."""

PAUSE_SECONDS = 2.0


class House:
    """A primary and two replicas; in place of one that died comes a new replica, on the same port.

    Attributes:
        primary: The primary.
        standbys: The replicas.
        ends: How far each timeline went that a primary was lost on, as the replica had it that was promoted.
    """

    def __init__(self, stack: ExitStack, *, is_synchronous: bool) -> None:
        """Start all three."""
        self._stack = stack
        self.ends: dict[str, int] = {}
        self.primary = stack.enter_context(PostgresqlServer())
        if is_synchronous:
            ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
            ask(self.primary, "SELECT pg_reload_conf()")
        self.standbys = [stack.enter_context(Standby(self.primary)) for _ in range(2)]
        self._timeline = ask(self.primary, f"SELECT {TIMELINE}")
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

    def cut_off(self) -> None:
        """Let the replicas take in nothing more."""
        for standby in self.standbys:
            standby.follow_nobody()

    def fail_over(self, *, is_hanging: bool) -> None:
        """Lose the primary, and promote the replica that has come furthest."""
        lost = self.primary
        if is_hanging:
            freeze(lost)
        else:
            cut_power(lost)
        self._wait_until_nothing_arrives()
        self.cut_off()
        self.standbys.sort(key=_received)
        new = self.standbys.pop()
        new.promote()
        self.ends[self._timeline] = ask(new, "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint")
        self._timeline = ask(new, f"SELECT {TIMELINE}")
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
        heard_of: Acknowledged numbers that every replica had which was promoted.
        recoveries: How long after each promotion a transaction was acknowledged.
        missing: Acknowledged numbers that are not there at the end.
        risen: Numbers that are there although they were rolled back.
    """

    heard_of: set[int]
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
    """Lose primaries under load, some by their hanging, and look at the end for what the ledger says.

    Where nobody waits for replicas, those are cut off from each second primary first, so that there is something to be lost.
    """
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
                    if number % 2 == 0 and not is_synchronous:
                        await asyncio.to_thread(house.cut_off)
                        await crew.wait_for_acknowledgement()
                    await asyncio.to_thread(house.fail_over, is_hanging=number % 4 >= 2)
                    recoveries.append(await crew.wait_for_acknowledgement())
                    await asyncio.to_thread(house.replace, lost)
                await crew.wait_for_acknowledgement()
        async with house.new_service() as service:
            return Losses(ledger.heard_of(house.ends), recoveries, *await ledger.missing_and_risen(service))


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


async def test_only_what_no_promoted_replica_had_is_lost_when_primaries_die_and_none_was_waited_for(
    report: Callable[[str], None],
) -> None:
    """By default all that was committed is there up to where the log of the promoted replica ended, on each of them."""
    ledger = Ledger()

    losses = await lose_primaries(ledger, is_synchronous=False)

    report(f"{losses}; {ledger.figures()}; {len(ledger.acknowledged.keys() - losses.heard_of)} that none may have had")
    assert losses.risen == set()
    assert losses.missing
    assert losses.missing & losses.heard_of == set()
    assert len({ledger.places[number].timeline for number in losses.heard_of}) == 1 + len(losses.recoveries)
    assert max(losses.recoveries) < RECOVERY_SECONDS
