"""Promises about a queue that is full."""

from __future__ import annotations

from functools import partial

import pytest

from indiaai_core.errors import QueueFull
from indiaai_core.queue import NewTask, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import drain, side_by_side, take

__all__ = ["ROOM", "BoundPromises"]

ROOM = 5
"""How many tasks the queue of the fixture `bounded_service` holds."""


class BoundPromises:
    """What a bound on the queue's length does."""

    @promise("Q173", "A queue that is full refuses a task with QueueFull; what waits and what is worked counts.")
    async def test_full_queue_refuses(self, service: QueueService, bounded_service: QueueService) -> None:
        ids = [await bounded_service.enqueue("process") for _ in range(ROOM)]
        leased = await take(bounded_service)

        with pytest.raises(QueueFull):
            await bounded_service.enqueue("refused")

        await bounded_service.update_status(leased, "completed")
        delivered = [leased.id, *[task.id for task in await drain(bounded_service)]]
        assert sorted(delivered) == sorted(ids)

    @promise("Q174", "A task that has come to an end takes no room.")
    @pytest.mark.parametrize("end", ["completed", "failed"])
    async def test_ended_task_makes_room(self, service: QueueService, bounded_service: QueueService, end: str) -> None:
        for _ in range(ROOM):
            await bounded_service.enqueue("process")
        for _ in range(2):
            await bounded_service.update_status(await take(bounded_service), end)

        answers = [await bounded_service.enqueue("process") for _ in range(2)]

        assert len(set(answers)) == 2
        with pytest.raises(QueueFull):
            await bounded_service.enqueue("process")

    @promise("Q175", "A batch for which there is no room is QueueFull, and nothing of it is queued.")
    async def test_batch_that_does_not_fit_queues_none(self, service: QueueService, bounded_service: QueueService) -> None:
        await bounded_service.enqueue_many([NewTask("process")] * (ROOM - 1))

        with pytest.raises(QueueFull):
            await bounded_service.enqueue_many([NewTask("refused")] * 2)

        assert [task.name for task in await drain(bounded_service)] == ["process"] * (ROOM - 1)

    @promise("Q176", "Of tasks that are enqueued side by side as many are queued as there is room for; the rest is QueueFull.")
    async def test_room_is_used_up_side_by_side(self, service: QueueService, bounded_service: QueueService) -> None:
        calls = [partial(bounded_service.enqueue, "process", {"n": n}) for n in range(3 * ROOM)]

        answers = await side_by_side(*calls)

        ids = {answer for answer in answers if isinstance(answer, str)}
        assert [type(answer) for answer in answers if answer not in ids] == [QueueFull] * 2 * ROOM
        assert {task.id for task in await drain(bounded_service)} == ids

    @promise("Q177", "A task that is not queued because of its key needs no room.", needs="dedupe")
    async def test_taken_key_needs_no_room(self, service: QueueService, bounded_service: QueueService) -> None:
        task_id = await bounded_service.enqueue("process", dedupe_key="k")
        for _ in range(ROOM - 1):
            await bounded_service.enqueue("process")

        assert await bounded_service.enqueue("process", dedupe_key="k") == task_id
        assert await bounded_service.enqueue_many([NewTask("process", dedupe_key="k")] * 2) == [task_id] * 2

    @promise("Q178", "A task that comes back is never refused for want of room.")
    async def test_returning_task_finds_room(self, service: QueueService, bounded_service: QueueService) -> None:
        task_id = await bounded_service.enqueue("process")
        task = await take(bounded_service)
        for _ in range(ROOM - 1):
            await bounded_service.enqueue("process")

        is_back = await bounded_service.release(task)

        assert (await bounded_service.get_status(task_id)).state is (TaskState.PENDING if is_back else TaskState.PROCESSING)

    @promise("Q179", "Requeuing into a full queue is QueueFull, and the task stays a dead letter.", needs="dead_letters")
    async def test_requeue_into_a_full_queue_is_refused(self, service: QueueService, bounded_service: QueueService) -> None:
        await bounded_service.dead_letters()
        task_id = await bounded_service.enqueue("process")
        await bounded_service.update_status(await take(bounded_service), "failed")
        for _ in range(ROOM):
            await bounded_service.enqueue("process")

        with pytest.raises(QueueFull):
            await bounded_service.requeue(task_id)

        assert (await bounded_service.get_status(task_id)).state is TaskState.FAILED
        assert [letter.id for letter in await bounded_service.dead_letters()] == [task_id]
