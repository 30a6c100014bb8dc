"""Promises about completing many tasks in one call."""

from __future__ import annotations

from dataclasses import replace

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import take

__all__ = ["CompletePromises"]


class CompletePromises:
    """What `complete_many` does."""

    @promise("Q180", "Many are completed in one call, each with its own result; none is none.", needs="complete_many")
    async def test_many_are_completed_in_one_call(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(5)]
        results = {task.id: (task, {"n": n}) for n, task in enumerate([await take(service) for _ in ids])}

        assert await service.complete_many([]) == []
        assert await service.complete_many([*results.values()]) == [True] * 5

        for task_id, (_, result) in results.items():
            status = await service.get_status(task_id)
            assert (status.state, status.result) == (TaskState.COMPLETED, result)

    @promise("Q181", "One of many whose lease is over says False in its place, and the others are done.", needs="complete_many")
    async def test_one_of_many_that_was_lost_changes_nothing(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(3)]
        first, second, third = [await take(service) for _ in ids]
        stranger = replace(second, lease=f"{second.lease}x")

        assert await service.complete_many([(first, 1), (stranger, 2), (third, 3)]) == [True, False, True]

        assert (await service.get_status(second.id)).state is TaskState.PROCESSING
        assert [(await service.get_status(task.id)).result for task in (first, third)] == [1, 3]

    @promise(
        "Q182",
        "One of many whose result is not JSON gives InvalidTask in its place and stays leased, and the others are done.",
        needs="complete_many",
    )
    async def test_one_of_many_that_cannot_be_kept_stays_leased(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(3)]
        first, second, third = [await take(service) for _ in ids]

        answers = await service.complete_many([(first, None), (second, float("nan")), (third, "done")])

        assert [type(answer) for answer in answers] == [bool, InvalidTask, bool]
        assert [(await service.get_status(task.id)).state for task in (first, third)] == [TaskState.COMPLETED] * 2
        assert await service.update_status(second, "completed")

    @promise("Q183", "A delivery that is named twice in one call is completed once.", needs="complete_many")
    async def test_delivery_named_twice_is_completed_once(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        assert await service.complete_many([(task, "first"), (task, "second")]) == [True, False]

        assert (await service.get_status(task_id)).result == "first"
