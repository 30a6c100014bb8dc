"""Workers are killed by SIGKILL at moments nobody chose, while a producer goes on: nothing is lost, and little runs twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import anyio
import pytest

from crew import DICE, Crew, Ledger, Producer, asked_rounds, serve, service_of, unsettled, wait_until_settled
from indiaai_core import NewTask
from redisserver import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

LEASE_SECONDS = 2.0
HELD = 20


async def test_no_task_is_lost_when_workers_are_killed(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """Two hundred workers die one after the other; every acknowledged task is completed, and only the dead's ran again."""
    rounds = asked_rounds(200)
    settings = {"url": make_server("--appendfsync", "no").url(), "lease_seconds": LEASE_SECONDS}

    async with service_of(settings) as service, serve(ledger, settings) as crew:
        await crew.start(2)
        producing = asyncio.create_task(Producer(service, ledger).run())
        for _ in range(rounds):
            await anyio.sleep(DICE.uniform(0.01, 0.25))  # the moment of death, and no condition to wait for
            crew.kill()
            await crew.start()
        producing.cancel()
        await wait_until_settled(service)
        left = await unsettled(service, ledger)

    twice = ledger.run_twice()
    report(
        f"{rounds} workers killed, {len(ledger.acknowledged):,} tasks acknowledged, {ledger.refused} refused, "
        f"{len(ledger.never_finished())} lost, {len(twice)} run again ({sum(len(runs) - 1 for runs in twice.values())} runs)"
    )
    assert ledger.never_finished() == set()
    assert left == {}
    assert ledger.blameless_repeats() == {}
    assert len(ledger.acknowledged) > rounds


async def held_by_one(crew: Crew, ledger: Ledger) -> None:
    """Wait until the only worker runs something."""
    with anyio.fail_after(20):
        while not ledger.runs():  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)


async def test_tasks_of_a_dead_worker_run_again_within_two_leases(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """What a worker had when it was killed, begun or not, runs elsewhere within twice the lease, and nothing else again."""
    lease = 1.0
    url, late, again = make_server("--appendfsync", "no").url(), [0.0], 0

    for number in range(asked_rounds(15)):
        ours = Ledger(ledger.path.with_name(f"runs-{number}"))
        settings = {"url": url, "lease_seconds": lease, "queue_name": f"q{number}"}
        async with service_of(settings) as service, serve(ours, settings, most_seconds=0.5) as crew:
            await crew.start()
            ids = await service.enqueue_many([NewTask("chaos", {"number": each}) for each in range(HELD)])
            ours.acknowledged = {each: (name, time.monotonic()) for each, name in enumerate(ids)}
            await held_by_one(crew, ours)
            await anyio.sleep(DICE.uniform(0, 0.4))  # the moment of death
            await crew.start()
            victim = crew.kill(crew.alive[0])
            await wait_until_settled(service)

        runs, died = ours.runs(), ours.deaths[victim]
        unfinished = {n for n, some in runs.items() if some[0].process == victim and some[0].ended is None}
        late += [some[-1].began - died for some in runs.values() if some[-1].process != victim]
        again += len(ours.run_twice())
        assert ours.never_finished() == set()
        assert ours.blameless_repeats() == {}
        assert unfinished <= ours.run_twice().keys()

    report(
        f"{len(late) - 1} tasks of {asked_rounds(15)} dead workers ran elsewhere, {again} of them again, "
        f"the last {max(late):.2f} s after the death, with a lease of {lease:g} s"
    )
    assert max(late) <= 2 * lease
