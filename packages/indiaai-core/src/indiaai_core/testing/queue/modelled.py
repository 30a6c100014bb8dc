"""Services that are held against the model of a queue, call by call.

Imported by the promise about any sequence of calls, and by stateful tests of backends whose clock can be set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import NewTask, QueueService, Task, TaskState
from indiaai_core.testing.queue.model import ModelTask, QueueModel

__all__ = ["ModelledQueue"]


class ModelledQueue:
    """Services on one store beside their model: every call is made of both, and they must agree.

    What a call is about is chosen by number: `nth` stands for one of all tasks, or one of all deliveries, those of the past
    included; `worker` for one of the services.
    """

    def __init__(
        self,
        service: QueueService,
        *,
        others: Sequence[QueueService] = (),
        now: Callable[[], float] = lambda: 0.0,
        has_order: bool = True,
    ) -> None:
        """Start beside a store that is empty.

        Args:
            service: What is held against the model.
            others: More services on the same store.
            now: The store's clock; standing still where nobody can set it.
            has_order: Whether the order of delivery holds over the whole queue.
        """
        self.service = service
        self.workers = [service, *others]
        self.model = QueueModel(service.lease_seconds)
        self.deliveries: list[Task] = []
        self._now = now
        self._has_order = has_order

    async def enqueue(self, **options: Any) -> None:
        """Enqueue a task, with these arguments of `NewTask`."""
        await self._catch_up()
        task_id = await self.service.enqueue("process", **options)
        self._add([NewTask("process", **options)], [task_id])

    async def enqueue_many(self, *, batch: Iterable[dict[str, Any]]) -> None:
        """Enqueue a batch, of these arguments of `NewTask`."""
        await self._catch_up()
        tasks = [NewTask("process", **options) for options in batch]
        self._add(tasks, await self.service.enqueue_many(tasks))

    async def dequeue(self, *, worker: int = 0) -> None:
        """Lease the next task."""
        await self._catch_up()
        taker = self._worker(worker)

        delivery = await taker.dequeue()

        self._deliver([] if delivery is None else [delivery], holder=taker)

    async def dequeue_many(self, *, limit: int, worker: int = 0) -> None:
        """Lease the next tasks."""
        await self._catch_up()
        taker = self._worker(worker)

        deliveries = await taker.dequeue_many(limit)

        assert len(deliveries) <= limit, f"{len(deliveries)} tasks were leased where {limit} were asked for"
        self._deliver(deliveries, holder=taker)

    async def update(self, *, nth: int, status: str, worker: int = 0) -> None:
        """Settle or renew one of the deliveries."""
        await self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self._worker(worker).update_status(delivery, status, nth)

        settled = self._settled(task, is_done, what=status)
        if settled is not None:
            self.model.settle(settled, status, data=nth)

    async def update_by_id(self, *, nth: int, status: str, worker: int = 0) -> None:
        """Settle or renew one of the tasks by its id alone."""
        await self._catch_up()
        chosen = self.model.nth(nth)
        if chosen is None:
            return
        settler = self._worker(worker)
        task = self.model.held_by(settler, chosen.id)

        is_done = await settler.update_status(chosen.id, status, nth)

        settled = self._settled(task, is_done, what=f"{status} by id")
        if settled is not None:
            self.model.settle(settled, status, data=nth)

    async def retry(self, *, nth: int, delay: float = 0, worker: int = 0) -> None:
        """Retry one of the deliveries."""
        await self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self._worker(worker).retry(delivery, delay, "once more")

        settled = self._settled(task, is_done, what="retry")
        if settled is not None:
            self.model.give_back(settled, due=self.model.now + delay, is_last=delivery.is_last_attempt)

    async def release(self, *, nth: int, worker: int = 0) -> None:
        """Release one of the deliveries."""
        await self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self._worker(worker).release(delivery)

        assert not is_done or task is not None, "a lease that is over was released"
        if task is not None and is_done:
            self.model.give_back(task, due=self.model.now)
            task.attempts -= 1

    async def cancel(self, *, nth: int) -> None:
        """Cancel one of the tasks."""
        await self._catch_up()
        task = self.model.nth(nth)
        if task is None:
            return
        is_live = self.model.is_live(task)

        assert await self.service.cancel(task.id) == is_live
        if is_live:
            self.model.end(task, TaskState.CANCELLED)

    async def requeue(self, *, nth: int) -> None:
        """Requeue one of the tasks."""
        await self._catch_up()
        task = self.model.nth(nth)
        if task is None:
            return
        is_ended = task.state in (TaskState.FAILED, TaskState.CANCELLED)

        assert await self.service.requeue(task.id) == is_ended
        if is_ended:
            self.model.requeue(task)

    async def purge(self) -> None:
        """Purge the queue."""
        await self._catch_up()
        gone = self.model.purge()

        assert await self.service.purge() == len(gone)
        for task_id in gone:
            try:
                await self.service.get_status(task_id)
            except TaskNotFound:
                continue
            raise AssertionError(f"{task_id} was purged and is still known")

    async def compare(self) -> None:
        """Compare every task's status, and the counts and the dead letters where the backend has them."""
        await self._catch_up()
        for task in self.model.tasks.values():
            status = await self.service.get_status(task.id)
            found = (status.state, status.attempts, status.progress, status.result)
            assert found == (task.state, task.attempts, task.progress, task.result), f"{found} is not what {task} says"
        if not {"counts", "purge"} <= self.service.capabilities:
            return  # what cannot be purged may be left from before
        if not self.model.lapsed():
            assert await self.service.counts() == self.model.counts()
        if "dead_letters" in self.service.capabilities:
            letters = {letter.id for letter in await self.service.dead_letters(1000)}
            assert letters == {task.id for task in self.model.tasks.values() if task.state is TaskState.FAILED}

    async def empty(self) -> None:
        """Leave nothing that would be delivered to others."""
        for delivery in self.deliveries:
            await self.service.update_status(delivery, "completed")
        while (task := await self.service.dequeue()) is not None:
            await self.service.update_status(task, "completed")
        if "purge" in self.service.capabilities:
            await self.service.purge()

    def _add(self, tasks: Sequence[NewTask], ids: Sequence[str]) -> None:
        assert len(ids) == len(tasks), f"{len(ids)} ids for {len(tasks)} tasks"
        for task, task_id in zip(tasks, ids, strict=True):
            if task.dedupe_key in self.model.keys:
                assert task_id == self.model.keys[task.dedupe_key], "a key that is taken gives another task's id"
                continue
            assert task_id not in self.model.tasks, "an id was given twice"
            due = self.model.now + task.delay
            added = ModelTask(task_id, task.priority, task.max_attempts, task.dedupe_key, due, is_fresh=not task.delay)
            self.model.add(added)

    def _deliver(self, deliveries: Sequence[Task], *, holder: QueueService) -> None:
        ready = self.model.ready(has_order=self._has_order)
        assert deliveries or not ready, f"nothing was delivered though {len(ready)} tasks are ready"
        tokens = [delivery.lease for delivery in (*self.deliveries, *deliveries)]
        assert len(set(tokens)) == len(tokens), "a lease's token was given twice"
        self.deliveries += deliveries
        for delivery in deliveries:
            ready = self.model.ready(has_order=self._has_order)
            task = self.model.tasks[delivery.id]
            oldest_fresh = next((other for other in ready if other.is_fresh), None)
            assert task in ready, f"{task} was delivered, which is not ready or not of the highest priority"
            is_in_turn = not task.is_fresh or task is oldest_fresh or not self._has_order
            assert is_in_turn, "a task was delivered before an older one of its priority"
            assert delivery.attempt == task.attempts + 1, f"attempt {delivery.attempt} follows {task.attempts}"
            self.model.deliver(task, delivery, holder=holder)

    def _settled(self, task: ModelTask | None, is_done: bool, *, what: str) -> ModelTask | None:
        """Return the task whose lease was opened, if one was; what the service said must be right."""
        # A lease that is over, of which the store has taken no notice yet, may still be honoured.
        is_free = task is not None and self.model.has_lapsed(task)
        assert is_done == (task is not None) or (is_free and not is_done), f"{what} said {is_done} of {task}"
        return task if is_done else None

    def _worker(self, number: int) -> QueueService:
        return self.workers[number % len(self.workers)]

    async def _catch_up(self) -> None:
        """Let leases run out, of those tasks whose store has taken notice: at the latest when the task is delivered again."""
        self.model.now = self._now()
        for task in self.model.lapsed():
            if (await self.service.get_status(task.id)).state is not TaskState.PROCESSING:
                self.model.give_back(task, due=self.model.now, is_last=not task.has_attempts)
