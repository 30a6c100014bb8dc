"""What the interface does for a backend of four methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from plain_queue import PlainQueue

from indiaai_core import InvalidTask, NewTask, QueueFull, QueueService, TaskNotFound, TaskStatus, Unsupported

pytestmark = pytest.mark.anyio


class FourMethods(PlainQueue):
    """A plain queue whose other methods are the interface's own."""

    enqueue_many = QueueService.enqueue_many
    dequeue_many = QueueService.dequeue_many
    retry = QueueService.retry
    release = QueueService.release
    cancel = QueueService.cancel
    dead_letters = QueueService.dead_letters
    requeue = QueueService.requeue
    counts = QueueService.counts
    purge = QueueService.purge
    room = 100

    def put(self, task: NewTask, text: bytes) -> str:
        """Put one task in while there is room."""
        if len(self.shelf.entries) >= self.room:
            raise QueueFull("The queue is full.")
        return super().put(task, text)


@pytest.fixture
def service() -> FourMethods:
    """Give a queue."""
    return FourMethods()


@pytest.mark.parametrize(
    ("call", "capability"),
    [
        (lambda service, task: service.retry(task), "retry"),
        (lambda service, task: service.cancel(task.id), "cancel"),
        (lambda service, task: service.dead_letters(), "dead_letters"),
        (lambda service, task: service.requeue(task.id), "dead_letters"),
        (lambda service, task: service.counts(), "counts"),
        (lambda service, task: service.purge(), "purge"),
    ],
    ids=["retry", "cancel", "dead_letters", "requeue", "counts", "purge"],
)
async def test_what_has_no_honest_default_is_unsupported(
    service: FourMethods, call: Callable[..., Any], capability: str
) -> None:
    """The call says which capability the backend lacks."""
    await service.enqueue("process")
    task = await service.dequeue()

    with pytest.raises(Unsupported) as caught:
        await call(service, task)

    assert (caught.value.backend, caught.value.capability) == ("FourMethods", capability)


async def test_release_leaves_the_lease_to_run_out(service: FourMethods) -> None:
    """Where a task cannot be given back, nothing changes."""
    await service.enqueue("process")
    task = await service.dequeue()
    assert task is not None

    assert await service.release(task) is False
    assert await service.update_status(task, "completed")


async def test_batch_is_checked_before_the_first_is_queued(service: FourMethods) -> None:
    """A bad task at the end of a batch queues nothing."""
    with pytest.raises(InvalidTask):
        await service.enqueue_many([NewTask("good"), NewTask("bad", {"a": object()})])

    assert await service.dequeue() is None


async def test_batch_passes_every_option_on(service: FourMethods) -> None:
    """What a task was to be queued with is what it is queued with."""
    task = NewTask("process", {"a": 1}, delay=0, priority=7, max_attempts=3, dedupe_key="k")

    [task_id] = await service.enqueue_many(iter([task]))

    entry = service.shelf.entries[task_id]
    assert entry.task == task


async def test_failure_in_the_middle_leaves_what_came_before(service: FourMethods) -> None:
    """The default queues one by one, and says so."""
    service.room = 2

    with pytest.raises(QueueFull):
        await service.enqueue_many([NewTask("process")] * 3)

    assert len(service.shelf.entries) == 2


async def test_many_are_taken_until_there_is_none(service: FourMethods) -> None:
    """The default takes one by one, as many as asked for or as there are."""
    ids = await service.enqueue_many([NewTask("process")] * 3)

    first, rest, none = await service.dequeue_many(2), await service.dequeue_many(2), await service.dequeue_many(2)

    assert [task.id for task in first + rest] == ids
    assert none == []


async def test_probe_leaves_nothing_to_be_worked() -> None:
    """A live round trip is cancelled before anybody could take it."""
    service = PlainQueue()

    await service.probe()

    assert [entry.state for entry in service.shelf.entries.values()] == ["cancelled"]


async def test_probe_of_a_backend_without_cancel_queues_nothing() -> None:
    """Where a task could not be taken back, none is put in."""

    class Plainer(PlainQueue):
        """A queue without options."""

        capabilities = frozenset()

    service = Plainer()

    await service.probe()

    assert service.shelf.entries == {}


async def test_probe_that_fails_takes_its_task_back() -> None:
    """A step that fails is reported, and leaves nothing behind either."""

    class Forgetful(PlainQueue):
        """A queue that cannot tell how its tasks are."""

        async def get_status(self, task_id: str) -> TaskStatus:
            """Know nothing."""
            raise TaskNotFound(task_id)

    service = Forgetful()

    with pytest.raises(TaskNotFound):
        await service.probe()

    assert [entry.state for entry in service.shelf.entries.values()] == ["cancelled"]
