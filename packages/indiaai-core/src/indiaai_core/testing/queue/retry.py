"""Promises about trying a task again, and about dead letters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidTask, TaskNotFound
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import CLOCK_SLACK_SECONDS, lapse, take

__all__ = ["RetryPromises"]


async def _fail(service: QueueService, name: str = "process") -> str:
    task_id = await service.enqueue(name)
    await service.update_status(await take(service), "failed", f"{name} is broken")
    return task_id


class RetryPromises:
    """What `retry`, `dead_letters` and `requeue` do."""

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
    async def test_delayed_retry_waits_for_its_time(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        first = await take(service)
        started = anyio.current_time()

        await service.retry(first, delay=0.3)

        assert (await take(service)).id == task_id
        assert anyio.current_time() - started >= 0.3 - CLOCK_SLACK_SECONDS

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

    @promise("Q47", "Dead letters are listed with their errors, the latest first, as many as asked for.", needs="dead_letters")
    async def test_dead_letters_are_listed_latest_first(self, service: QueueService) -> None:
        for name in ("first", "second", "third"):
            await _fail(service, name)
            await anyio.sleep(0.01)  # what failed within one tick of the store's clock has no order

        letters = await service.dead_letters(limit=2)

        assert [(letter.name, letter.error) for letter in letters] == [
            ("third", "third is broken"),
            ("second", "second is broken"),
        ]
        assert len(await service.dead_letters()) == 3

    @promise("Q48", "What completed, waits or is worked is no dead letter.", needs="dead_letters")
    async def test_only_failed_tasks_are_dead_letters(self, service: QueueService) -> None:
        await service.enqueue("completed")
        await service.update_status(await take(service), "completed")
        await service.enqueue("processing")
        await take(service)
        await service.enqueue("pending")

        letters = await service.dead_letters()

        assert letters == []

    @promise(
        "Q49",
        "A requeued dead letter is delivered with its data as attempt 1, and is a dead letter no more.",
        needs="dead_letters",
    )
    async def test_requeued_task_begins_anew(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", {"n": 1}, max_attempts=1)
        await service.update_status(await take(service), "failed", "broken")

        assert await service.requeue(task_id)

        status = await service.get_status(task_id)
        task = await take(service)
        assert (status.state, status.attempts, status.error, status.finished_at) == (TaskState.PENDING, 0, None, None)
        assert (task.id, task.data, task.attempt) == (task_id, {"n": 1}, 1)
        assert await service.dead_letters() == []

    @promise(
        "Q50", "Only what failed or was cancelled is requeued: for anything else the answer is False.", needs="dead_letters"
    )
    async def test_only_ended_tasks_are_requeued(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        answers = [await service.requeue(task_id)]
        task = await take(service)
        answers.append(await service.requeue(task_id))
        await service.update_status(task, "completed")
        answers.append(await service.requeue(task_id))

        assert answers == [False, False, False]
        assert await service.dequeue() is None

    @promise("Q51", "Requeuing a task that is not there is TaskNotFound.", needs="dead_letters")
    async def test_requeue_of_an_unknown_task_is_not_found(self, service: QueueService) -> None:
        with pytest.raises(TaskNotFound):
            await service.requeue("no-such-task")

    @promise("Q52", "A task whose last lease ran out is a dead letter as well.", needs="dead_letters")
    async def test_lapsed_task_is_a_dead_letter(self, service: QueueService) -> None:
        lapsed_id = await service.enqueue("process", max_attempts=1)
        await take(service)
        await service.enqueue("process", max_attempts=2)
        await take(service)
        await lapse(service)

        letters = await service.dead_letters()

        assert [letter.id for letter in letters] == [lapsed_id]
