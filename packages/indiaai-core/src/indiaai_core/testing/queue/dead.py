"""Promises about dead letters, and about putting them back."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidTask, TaskNotFound
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.settle import HOSTILE_TEXTS
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, drain, take, while_waiting

__all__ = ["DeadLetterPromises"]


async def _fail(service: QueueService, name: str = "process", **options: Any) -> str:
    task_id = await service.enqueue(name, **options)
    await service.update_status(await take(service), "failed", f"{name} is broken")
    await anyio.sleep(0.01)  # what failed within one tick of the store's clock has no order
    return task_id


class DeadLetterPromises:
    """What `dead_letters` and `requeue` do."""

    @promise("Q47", "Dead letters are listed with their errors, the latest first, as many as asked for.", needs="dead_letters")
    async def test_dead_letters_are_listed_latest_first(self, service: QueueService) -> None:
        for name in ("first", "second", "third"):
            await _fail(service, name)

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
    async def test_lapsed_task_is_a_dead_letter(self, service: QueueService, elapse: Elapse) -> None:
        lapsed_id = await service.enqueue("process", max_attempts=1)
        await take(service)
        await elapse(1.1 * service.lease_seconds)
        await service.enqueue("process")
        await take(service)

        letters = await service.dead_letters()

        assert [letter.id for letter in letters] == [lapsed_id]

    @promise("Q130", "A dead letter is listed as its status tells it.", needs="dead_letters")
    async def test_dead_letter_is_listed_as_its_status(self, service: QueueService) -> None:
        task_id = await service.enqueue("नाम", {"n": 1})
        task = await take(service)
        await service.update_status(task, "processing", [1, 2])
        await service.update_status(task, "failed", {"error": "broken", "traceback": "line 7"})

        letters = await service.dead_letters()

        assert letters == [await service.get_status(task_id)]

    @promise("Q131", "What failed again after it was requeued is the latest of the dead letters.", needs="dead_letters")
    async def test_requeued_letter_that_fails_is_the_latest(self, service: QueueService) -> None:
        ids = [await _fail(service, name) for name in ("first", "second")]
        await service.requeue(ids[0])
        await service.update_status(await take(service), "failed", "again")

        letters = await service.dead_letters()

        assert [(letter.id, letter.error) for letter in letters] == [(ids[0], "again"), (ids[1], "second is broken")]

    @promise("Q132", "A limit of dead letters of less than one is InvalidTask.", needs="dead_letters")
    @pytest.mark.parametrize("limit", [0, -1, 1.5, True])
    async def test_bad_limit_of_letters_is_refused(self, service: QueueService, limit: Any) -> None:
        await service.dead_letters()

        with pytest.raises(InvalidTask):
            await service.dead_letters(limit)

    @promise("Q133", "A call that waits gets a task that is requeued meanwhile.", needs="dead_letters")
    async def test_waiting_call_gets_a_requeued_task(self, service: QueueService) -> None:
        await service.dead_letters()
        task_id = await _fail(service)

        (task,) = await while_waiting(partial(service.requeue, task_id), lambda: service.dequeue(timeout=4 * PATIENCE_SECONDS))

        assert task is not None
        assert (task.id, task.attempt) == (task_id, 1)

    @promise("Q134", "A requeued task has all of its attempts again.", needs="dead_letters")
    async def test_requeued_task_has_all_of_its_attempts(self, service: QueueService, elapse: Elapse) -> None:
        await service.dead_letters()
        task_id = await _fail(service, max_attempts=2)

        await service.requeue(task_id)
        attempts = []
        for _ in range(2):
            attempts.append((await take(service)).attempt)
            await elapse(1.1 * service.lease_seconds)

        assert attempts == [1, 2]
        assert await service.dequeue() is None
        assert (await service.get_status(task_id)).state is TaskState.FAILED

    @promise("Q135", "A task that is requeued side by side is put back once.", needs="dead_letters")
    async def test_one_of_many_requeues_is_done(self, service: QueueService) -> None:
        await service.dead_letters()
        task_id = await _fail(service)
        answers: list[bool] = []

        async def requeue() -> None:
            answers.append(await service.requeue(task_id))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(requeue)

        assert sorted(answers) == [False] * 4 + [True]
        assert [task.id for task in await drain(service)] == [task_id]

    @promise(
        "Q136",
        "Requeuing or cancelling what is no task is TaskNotFound, whatever its id looks like.",
        needs=("dead_letters", "cancel"),
    )
    @pytest.mark.parametrize("task_id", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_id_is_not_found(self, service: QueueService, task_id: str) -> None:
        for call in (service.requeue, service.cancel):
            with pytest.raises(TaskNotFound) as caught:
                await call(task_id)

            assert caught.value.task_id == task_id
