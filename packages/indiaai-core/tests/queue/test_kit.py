"""The suite's own tools: the model that queues are held against, and how calls are cancelled and waited for."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from plain_queue import Entry, PlainQueue, now
from virtual_time import VirtualTimeLoop

from indiaai_core import Task
from indiaai_core.testing.queue import ModelledQueue, QueueConformance
from indiaai_core.testing.queue.waiting import cancel_all_waits

pytestmark = pytest.mark.anyio

# Taken before any test runs: anyio's plugin puts its own runner there.
SEQUENCE: Any = vars(QueueConformance.test_any_sequence_follows_the_model)["hypothesis"].inner_test


def make(*services: Any) -> ModelledQueue:
    """Put services beside their model, on the loop's clock."""
    return ModelledQueue(services[0], others=services[1:], now=now)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on virtual time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
def queue() -> ModelledQueue:
    """A queue beside its model, both on the loop's clock."""
    return make(PlainQueue())


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
    queue = make(service)
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
    queue = make(KeepsEverything())
    await queue.enqueue()

    with pytest.raises(AssertionError, match="was purged and is still known"):
        await queue.purge()


async def test_the_model_knows_what_two_workers_do_to_each_other() -> None:
    """A lease is its worker's; a task's id stands for the lease that the worker who names it was given."""
    first = PlainQueue()
    queue = make(first, PlainQueue(first.shelf))
    await queue.update_by_id(nth=0, status="completed")  # of nothing
    await queue.enqueue_many(batch=[{"dedupe_key": "a"}, {"dedupe_key": "a"}, {"delay": 5}, {}])

    await queue.dequeue_many(limit=5, worker=1)
    await queue.update_by_id(nth=0, status="completed", worker=0)
    await queue.update_by_id(nth=0, status="processing", worker=1)
    await queue.update_by_id(nth=0, status="failed", worker=1)
    await queue.requeue(nth=0)
    await anyio.sleep(6)
    await queue.dequeue_many(limit=5)
    await queue.compare()
    await queue.empty()


class NoticesLate(PlainQueue):
    """Lets leases run out when somebody asks for a task, and not before."""

    is_asked = False

    def lapse_all(self) -> None:
        """Look, or not."""
        if self.is_asked:
            super().lapse_all()

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Look, and lease."""
        self.is_asked = True
        try:
            return await super().dequeue(timeout)
        finally:
            self.is_asked = False


async def test_a_store_may_take_its_time_to_notice_a_lapse() -> None:
    """A lease that is over may be honoured until the task is delivered again."""
    queue = make(NoticesLate())
    await queue.enqueue_many(batch=[{}, {"max_attempts": 1}])
    await queue.dequeue_many(limit=2)
    await anyio.sleep(2)

    await queue.compare()
    await queue.update(nth=0, status="processing")
    await anyio.sleep(2)
    await queue.dequeue()
    await queue.update(nth=0, status="completed")
    await queue.compare()
    await queue.empty()


class RefusesLate(NoticesLate):
    """Shows a lease that is over, and honours it no more."""

    def held(self, task: str | Task) -> Entry | None:
        """Look at the time."""
        entry = super().held(task)
        return entry if entry is not None and entry.lease_ends > now() else None


async def test_a_store_may_refuse_a_lease_that_is_over_before_it_gives_the_task_to_another() -> None:
    """Then it says False, and the task is delivered again."""
    queue = make(RefusesLate())
    await queue.enqueue()
    await queue.dequeue()
    await anyio.sleep(2)

    await queue.update(nth=0, status="completed")
    await queue.dequeue()
    await queue.update(nth=1, status="completed")
    await queue.compare()


async def test_a_sequence_on_a_slow_queue_ends_before_its_clock_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls take so long that the store's clock may differ from the model's, the model is not asked."""
    service = PlainQueue()
    times = iter([0.0, 0.01, 1.0])
    monkeypatch.setattr("indiaai_core.testing.queue.sequence.time.monotonic", lambda: next(times))

    calls: list[Any] = [("enqueue", {}), ("enqueue", {})]
    await SEQUENCE(QueueConformance(), service=service, workers=[service], clock=None, calls=calls)

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

    await QueueConformance().test_cancelled_call_loses_no_task(service=service, elapse=anyio.sleep)

    assert now() > 1000 + service.lease_seconds


class GivesNothing(PlainQueue):
    """Never has a task."""

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Give nothing at once."""
        return None


async def test_waits_that_end_by_themselves_have_got_nothing() -> None:
    """A wait that ended with no task adds none to those that were got."""
    assert await cancel_all_waits(GivesNothing(), waits=3, cancel_after_turns=2) == []
