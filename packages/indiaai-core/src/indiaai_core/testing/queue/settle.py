"""Promises about settling a task, and about giving it back."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_TASK_BYTES, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import expect_none, lapse, take

__all__ = ["SettlePromises"]


class SettlePromises:
    """What `update_status` and `release` do to a task under its lease."""

    @promise(
        "Q27", "`completed` ends the task with its result; it is not delivered again, also after its lease would have ended."
    )
    async def test_completed_task_is_done(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        assert await service.update_status(await take(service), TaskState.COMPLETED, {"pages": 3})

        status = await service.get_status(task_id)
        assert (status.state, status.result, status.error) == (TaskState.COMPLETED, {"pages": 3}, None)
        await expect_none(service, for_seconds=1.5 * service.lease_seconds)

    @promise("Q28", "`failed` ends the task with the error, whatever attempts are left.")
    async def test_failed_task_is_not_tried_again(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", max_attempts=9)

        assert await service.update_status(await take(service), "failed", "no such page")

        status = await service.get_status(task_id)
        assert (status.state, status.error, status.attempts) == (TaskState.FAILED, "no such page", 1)
        await expect_none(service, for_seconds=1.5 * service.lease_seconds)

    @promise("Q29", "An error may be an object with `error` and `traceback`.")
    async def test_failure_keeps_its_traceback(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        await service.update_status(await take(service), "failed", {"error": "broken", "traceback": "line 7"})

        status = await service.get_status(task_id)
        assert (status.error, status.traceback) == ("broken", "line 7")

    @promise("Q30", "A task is settled once: the second time says False and changes nothing.")
    async def test_second_settlement_changes_nothing(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.update_status(task, "completed", 1)

        answers = [await service.update_status(task, status, 2) for status in ("completed", "failed", "processing")]

        status = await service.get_status(task_id)
        assert answers == [False, False, False]
        assert (status.state, status.result, status.error, status.progress) == (TaskState.COMPLETED, 1, None, None)

    @promise("Q31", "The task's id alone settles under the latest lease that this service object was given.")
    async def test_id_settles_under_the_latest_lease(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await take(service)

        assert await service.update_status(task_id, "completed", "done")
        assert (await service.get_status(task_id)).result == "done"

    @promise("Q32", "Settling a task that is not there, or that was never delivered, says False and changes nothing.")
    async def test_task_without_a_lease_is_not_settled(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        assert not await service.update_status("no-such-task", "completed")
        assert not await service.update_status(task_id, "completed")

        assert (await service.get_status(task_id)).state is TaskState.PENDING
        assert (await take(service)).id == task_id

    @promise("Q33", "A status that cannot be set, or data that is not JSON or too large, is InvalidTask; nothing changes.")
    @pytest.mark.parametrize(
        ("status", "data"),
        [
            ("pending", None),
            ("cancelled", None),
            ("done", None),
            ("completed", object()),
            ("completed", float("nan")),
            ("processing", {1: 2}),
            ("completed", "x" * MAX_TASK_BYTES),
        ],
        ids=["pending", "cancelled", "unknown", "object", "nan", "key", "large"],
    )
    async def test_bad_update_is_refused(self, service: QueueService, status: str, data: Any) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        with pytest.raises(InvalidTask):
            await service.update_status(task, status, data)

        assert (await service.get_status(task_id)).state is TaskState.PROCESSING
        assert await service.update_status(task, "completed")

    @promise("Q34", "A released task comes back with the same attempt; where a backend cannot give it back, it says False.")
    async def test_released_task_comes_back_uncounted(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        is_released = await service.release(task)

        again = await take(service) if is_released else await lapse(service)
        assert (again.id, again.attempt) == (task_id, 1 if is_released else 2)
        assert not is_released or not await service.release(task)

    @promise("Q35", "A result may be any JSON value, and is given back as it is.")
    @pytest.mark.parametrize("result", [None, True, 0, -1.5, "", "நன்றி", [], {}, [1, {"a": None}]], ids=str)
    async def test_result_is_any_json_value(self, service: QueueService, result: Any) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "completed", result)

        status = await service.get_status(task_id)

        assert status.result == result
        assert type(status.result) is type(result)
