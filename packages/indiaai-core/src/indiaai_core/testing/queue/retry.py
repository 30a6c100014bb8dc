"""Promises about trying a task again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_ERROR_CHARACTERS, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, give_back, take, while_waiting

__all__ = ["RetryPromises"]


class RetryPromises:
    """What `retry` does."""

    @promise("Q39", "A retried task is delivered again as the next attempt, and its old lease is over.", needs="retry")
    async def test_retried_task_is_delivered_again(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", {"n": 1})
        first = await take(service)

        assert await service.retry(first, error="no route")

        second = await take(service)
        assert (second.id, second.data, second.attempt) == (task_id, {"n": 1}, 2)
        assert not await service.update_status(first, "completed")
        assert await service.update_status(second, "completed")

    @promise("Q40", "A retry with a delay is not delivered before its time, and is after.", needs="retry")
    async def test_delayed_retry_waits_for_its_time(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")

        await service.retry(await take(service), delay=1.0)

        await elapse(0.7)
        assert await service.dequeue() is None
        await elapse(0.4)
        assert (await take(service)).id == task_id

    @promise("Q41", "A retried task is pending, with the error and the traceback of the attempt that failed.", needs="retry")
    async def test_retried_task_keeps_its_error(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        await service.retry(await take(service), delay=60, error="no route", traceback="line 7")

        status = await service.get_status(task_id)
        assert (status.state, status.attempts) == (TaskState.PENDING, 1)
        assert (status.error, status.traceback) == ("no route", "line 7")

    @promise("Q42", "The error of an attempt is gone from the status once a later one is completed.", needs="retry")
    async def test_completed_task_has_no_error(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.retry(await take(service), error="no route", traceback="line 7")

        await service.update_status(await take(service), "completed")

        status = await service.get_status(task_id)
        assert (status.state, status.error, status.traceback) == (TaskState.COMPLETED, None, None)

    @promise("Q43", "A retry of the last attempt fails the task instead.", needs="retry")
    async def test_retry_of_the_last_attempt_fails_the_task(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", max_attempts=2)
        await service.retry(await take(service), error="first")

        assert await service.retry(await take(service), error="second")

        status = await service.get_status(task_id)
        assert (status.state, status.error, status.attempts) == (TaskState.FAILED, "second", 2)
        assert await service.dequeue() is None

    @promise("Q44", "The delivery that is given to `retry` says which attempt is the last, as a handler may.", needs="retry")
    async def test_handler_decides_which_attempt_is_the_last(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        await service.retry(replace(await take(service), max_attempts=1), error="once is enough")

        assert (await service.get_status(task_id)).state is TaskState.FAILED

    @promise("Q45", "A lease that has passed to another retries nothing, and says False.", needs="retry")
    async def test_passed_lease_retries_nothing(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        first = await take(service)
        await service.retry(first)
        second = await take(service)

        assert not await service.retry(first, error="late")

        assert (await service.get_status(task_id)).state is TaskState.PROCESSING
        assert await service.update_status(second, "completed")

    @promise("Q46", "A delay that is no number from 0 to 366 days is InvalidTask, and the lease stays.", needs="retry")
    @pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), 367 * 24 * 3600, "1"])
    async def test_bad_delay_of_a_retry_is_refused(self, service: QueueService, delay: Any) -> None:
        await service.enqueue("process")
        task = await take(service)

        with pytest.raises(InvalidTask):
            await service.retry(task, delay=delay)

        assert await service.update_status(task, "completed")

    @promise("Q128", "A retry gives its error as `failed` does: shortened, and never empty.", needs="retry")
    async def test_error_of_a_retry_is_kept(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(2)]
        long = "begin" + "é" * 2 * MAX_ERROR_CHARACTERS + "end"

        await service.retry(await take(service), delay=60, error=long, traceback=long)
        await service.retry(await take(service), delay=60)

        found = [await service.get_status(task_id) for task_id in ids]
        texts = {(status.error, status.traceback) for status in found}
        assert (long[:MAX_ERROR_CHARACTERS], long[-MAX_ERROR_CHARACTERS:]) in texts
        assert all(status.error for status in found)

    @promise("Q129", "A call that waits gets a task that comes back meanwhile.", needs="retry")
    @pytest.mark.parametrize("how", ["retry", "delayed", "release"])
    async def test_waiting_call_gets_a_returning_task(self, service: QueueService, elapse: Elapse, how: str) -> None:
        await service.enqueue("before")
        await service.retry(await take(service), delay=60)
        task_id = await service.enqueue("process")
        task = await take(service)

        async def come_back() -> None:
            if how == "delayed":
                await service.retry(task, delay=0.1)
            else:
                await give_back(service, task, how=how, elapse=elapse)

        (again,) = await while_waiting(come_back, lambda: service.dequeue(timeout=4 * PATIENCE_SECONDS))

        assert again is not None
        assert again.id == task_id
