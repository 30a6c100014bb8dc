"""The suite's own tools: the model that queues are held against, and how calls are cancelled and waited for."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from plain_queue import PlainQueue, now
from virtual_time import VirtualTimeLoop

from indiaai_core import Task
from indiaai_core.testing.queue import ModelledQueue, QueueConformance
from indiaai_core.testing.queue.waiting import cancel_all_waits

pytestmark = pytest.mark.anyio

# Taken before any test runs: anyio's plugin puts its own runner there.
SEQUENCE: Any = vars(QueueConformance.test_any_sequence_follows_the_model)["hypothesis"].inner_test


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on virtual time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
def queue() -> ModelledQueue:
    """A queue beside its model, both on the loop's clock."""
    return ModelledQueue(PlainQueue(), now=now)


async def test_the_model_agrees_on_every_way_through_a_task_s_life(queue: ModelledQueue) -> None:
    """Delivered, renewed, settled, lapsed, retried, released, cancelled, requeued and purged, both say the same."""
    for call in (queue.update(nth=0, status="completed"), queue.retry(nth=0), queue.release(nth=0)):
        await call  # of nothing
    await queue.cancel(nth=0)
    await queue.requeue(nth=0)
    await queue.dequeue()

    await queue.enqueue(priority=1, dedupe_key="a", max_attempts=2)
    await queue.enqueue(dedupe_key="a")
    await queue.enqueue(delay=5)
    await queue.dequeue()
    await queue.update(nth=0, status="processing")
    await queue.retry(nth=0, delay=1)
    await queue.retry(nth=0)
    await queue.compare()
    await anyio.sleep(2)
    await queue.dequeue()
    await queue.release(nth=1)
    await queue.release(nth=1)
    await queue.dequeue()
    await anyio.sleep(2)  # the lease runs out, and with it the last attempt
    await queue.compare()
    await queue.update(nth=2, status="completed")
    await queue.requeue(nth=0)
    await queue.cancel(nth=0)
    await queue.cancel(nth=0)
    await queue.enqueue(dedupe_key="a")
    await queue.requeue(nth=0)
    await queue.requeue(nth=1)
    await anyio.sleep(5)
    await queue.dequeue()
    await queue.update(nth=3, status="completed")
    await queue.dequeue()
    await queue.update(nth=4, status="failed")
    await queue.compare()
    await queue.purge()
    await queue.compare()
    await queue.enqueue()
    await queue.empty()


class KeepsRecords(PlainQueue):
    """Can neither count nor purge."""

    capabilities = PlainQueue.capabilities - {"counts", "purge"}


async def test_a_queue_that_cannot_be_purged_is_emptied_by_working_it() -> None:
    """The model asks for no count where others' tasks may be left, and settles its own."""
    service = KeepsRecords()
    queue = ModelledQueue(service, now=now)
    await queue.enqueue()

    await queue.compare()
    await queue.empty()

    assert await service.dequeue() is None


class KeepsEverything(PlainQueue):
    """Counts what it should forget, and forgets nothing."""

    async def purge(self) -> int:
        """Count."""
        return len(self.shelf.entries)


async def test_the_model_notices_what_a_purge_left() -> None:
    """A task that is still known after a purge is named."""
    queue = ModelledQueue(KeepsEverything(), now=now)
    await queue.enqueue()

    with pytest.raises(AssertionError, match="was purged and is still known"):
        await queue.purge()


class Slow(PlainQueue):
    """Takes as long as a lease lasts for every task."""

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Take long."""
        await anyio.sleep(self.lease_seconds)
        return await super().enqueue(task_name, task_data, **options)


async def test_a_sequence_on_a_slow_queue_ends_before_its_leases_do() -> None:
    """Where calls take so long that leases would run out, the model, whose clock stands still, is not asked."""
    service = Slow()

    await SEQUENCE(QueueConformance(), service=service, calls=[("enqueue", {}), ("enqueue", {})])

    assert len(service.shelf.entries) == 1


class LeasesWhatNobodyGets(PlainQueue):
    """Can be cancelled between leasing a task and giving it: the task comes back when its lease has run out."""

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Take a moment to give what was leased."""
        task = await super().dequeue(timeout)
        await anyio.lowlevel.checkpoint()
        return task


async def test_a_task_that_was_leased_for_a_cancelled_call_may_come_late() -> None:
    """At least once does not mean at once: the promise waits for the lease to run out."""
    service = LeasesWhatNobodyGets()

    await QueueConformance().test_cancelled_call_loses_no_task(service=service)

    assert now() > 1000 + service.lease_seconds


class GivesNothing(PlainQueue):
    """Never has a task."""

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Give nothing at once."""
        return None


async def test_waits_that_end_by_themselves_have_got_nothing() -> None:
    """A wait that ended with no task adds none to those that were got."""
    assert await cancel_all_waits(GivesNothing(), waits=3, cancel_after_turns=2) == []
