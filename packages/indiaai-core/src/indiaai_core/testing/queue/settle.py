"""Promises about settling a task, and about giving it back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_ERROR_CHARACTERS, MAX_TASK_BYTES, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import cancel_some, expect_none, give_back, lapse, side_by_side, take

__all__ = ["HOSTILE_TEXTS", "SettlePromises"]

HOSTILE_TEXTS = [
    "",
    "*",
    "a b",
    "x" * 5000,
    "{1}",
    "../1",
    "ॐ",
    "a\nb",
    "a\x00b",
    "\ud800",
    "task:1",
    "leases",
    "' OR 1=1 --",
    "%s",
]
"""What nobody was given as an id or as a lease, and what a store may stumble over."""


class SettlePromises:
    """What `update_status` and `release` do to a task under its lease."""

    @promise(
        "Q27", "`completed` ends the task with its result; it is not delivered again, also after its lease would have ended."
    )
    async def test_completed_task_is_done(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")

        assert await service.update_status(await take(service), TaskState.COMPLETED, {"pages": 3})

        status = await service.get_status(task_id)
        assert (status.state, status.result, status.error) == (TaskState.COMPLETED, {"pages": 3}, None)
        await expect_none(service, elapse, for_seconds=1.5 * service.lease_seconds)

    @promise("Q28", "`failed` ends the task with the error, whatever attempts are left.")
    async def test_failed_task_is_not_tried_again(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process", max_attempts=9)

        assert await service.update_status(await take(service), "failed", "no such page")

        status = await service.get_status(task_id)
        assert (status.state, status.error, status.attempts) == (TaskState.FAILED, "no such page", 1)
        await expect_none(service, elapse, for_seconds=1.5 * service.lease_seconds)

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
    async def test_released_task_comes_back_uncounted(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        is_released = await service.release(task)

        again = await take(service) if is_released else await lapse(service, elapse)
        assert (again.id, again.attempt) == (task_id, 1 if is_released else 2)

    @promise("Q35", "A result may be any JSON value, and is given back as it is.")
    @pytest.mark.parametrize("result", [None, True, 0, -1.5, "", "நன்றி", [], {}, [1, {"a": None}]], ids=str)
    async def test_result_is_any_json_value(self, service: QueueService, result: Any) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "completed", result)

        status = await service.get_status(task_id)

        assert status.result == result
        assert type(status.result) is type(result)

    @promise("Q117", "Settlements and renewals side by side are each done, with their own results.")
    async def test_settlements_side_by_side_are_each_done(self, service: QueueService) -> None:
        await side_by_side(*[partial(service.enqueue, "process", {"n": n}) for n in range(40)])
        tasks = [await take(service) for _ in range(40)]
        verbs = ["completed", "failed", "processing", "completed"]

        answers = await side_by_side(
            *[partial(service.update_status, task, verbs[n % 4], f"{n}") for n, task in enumerate(tasks)]
        )

        assert answers == [True] * 40
        for n, task in enumerate(tasks):
            status = await service.get_status(task.id)
            found = {"completed": status.result, "failed": status.error, "processing": status.progress}
            assert (status.state, found[verbs[n % 4]]) == (verbs[n % 4], f"{n}")

    @promise("Q118", "Of settlements side by side under one lease one is done: the others say False.")
    async def test_one_of_many_settlements_is_done(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        answers = await side_by_side(*[partial(service.update_status, task, "completed", n) for n in range(10)])

        assert sorted(answers, key=str) == [False] * 9 + [True]
        assert (await service.get_status(task_id)).result == answers.index(True)

    @promise("Q119", "A settlement that is cancelled is done or not, and takes no other with it.")
    @pytest.mark.parametrize("turns", range(4))
    async def test_cancelled_settlement_takes_no_other_with_it(self, service: QueueService, elapse: Elapse, turns: int) -> None:
        ids = [await service.enqueue("process") for _ in range(10)]
        tasks = [await take(service) for _ in ids]
        calls = [partial(service.update_status, task, "completed", task.id) for task in tasks]

        answers = await cancel_some(*calls, cancel_after_turns=turns)
        await elapse(1.1 * service.lease_seconds)

        assert set(answers) >= set(range(0, 10, 2)), "the calls that were not cancelled have an answer"
        assert all(answers.values())
        completed = {tasks[n].id for n in answers}
        while (again := await service.dequeue()) is not None:
            assert again.id not in completed
            completed.add(again.id)
            await service.update_status(again, "completed", again.id)
        assert [(await service.get_status(task_id)).result for task_id in ids] == ids

    @promise(
        "Q120", "`failed` takes any JSON value: what is no text is kept as JSON, and of nothing it says that there was none."
    )
    @pytest.mark.parametrize(
        ("data", "error"),
        [
            ("टूटा हुआ", "टूटा हुआ"),
            (["no", 1], '["no",1]'),
            ({"code": 7}, '{"code":7}'),
            ({"error": 404}, "404"),
            (None, None),
            ("", None),
        ],
        ids=["text", "list", "object", "number", "none", "empty"],
    )
    async def test_any_value_is_an_error(self, service: QueueService, data: Any, error: str | None) -> None:
        task_id = await service.enqueue("process")

        await service.update_status(await take(service), "failed", data)

        found = (await service.get_status(task_id)).error
        assert found
        assert error in (None, found)

    @promise("Q121", "Of a long error the beginning is kept, and of a long traceback the end.")
    async def test_long_error_is_shortened(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        long = "begin" + "é" * 2 * MAX_ERROR_CHARACTERS + "end"

        await service.update_status(await take(service), "failed", {"error": long, "traceback": long})

        status = await service.get_status(task_id)
        assert status.error == long[:MAX_ERROR_CHARACTERS]
        assert status.traceback == long[-MAX_ERROR_CHARACTERS:]

    @promise("Q122", "An error may quote anything: control characters, quotes and braces come back as they were.")
    async def test_error_may_quote_anything(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        text = "\x00\x1b[31m\r\n\t\"'\\{}[]%s ज्ञ\u2028"

        await service.update_status(await take(service), "failed", {"error": text, "traceback": text})

        status = await service.get_status(task_id)
        assert (status.error, status.traceback) == (text, text)

    @promise("Q123", "An id that no task has settles nothing and says False, whatever it looks like.")
    @pytest.mark.parametrize("task_id", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_unknown_id_settles_nothing(self, service: QueueService, task_id: str) -> None:
        await service.enqueue("process")
        task = await take(service)

        answers = [await service.update_status(task_id, status) for status in ("processing", "failed", "completed")]

        assert answers == [False, False, False]
        assert await service.update_status(task, "completed")

    @promise("Q124", "A lease opens the task it was given for, and nothing else opens one.")
    @pytest.mark.parametrize("lease", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_lease_opens_its_own_task(self, service: QueueService, lease: str) -> None:
        ids = [await service.enqueue("process") for _ in range(2)]
        first, second = [await take(service) for _ in ids]

        answers = [
            await service.update_status(replace(first, lease=token), status)
            for token in (lease, second.lease)
            for status in ("processing", "failed", "completed")
        ]

        assert answers == [False] * 6
        assert [(await service.get_status(task_id)).state for task_id in ids] == [TaskState.PROCESSING] * 2

    @promise("Q125", "A result of exactly 256 KiB is given back whole.")
    async def test_largest_result_is_given_back(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        result = "x" * (MAX_TASK_BYTES - len('""'))

        await service.update_status(await take(service), "completed", result)

        assert (await service.get_status(task_id)).result == result

    @promise("Q126", "A release costs no attempt: a task of one attempt can be given back and delivered again.")
    async def test_release_costs_no_attempt(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", max_attempts=1)
        for _ in range(3):
            if not await service.release(await take(service)):
                return
            status = await service.get_status(task_id)
            assert (status.state, status.attempts) == (TaskState.PENDING, 0)

        task = await take(service)

        assert (task.id, task.attempt) == (task_id, 1)
        assert await service.update_status(task, "completed")

    @promise("Q127", "A lease that has passed to another releases nothing, and says False.")
    async def test_passed_lease_releases_nothing(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        first = await take(service)
        await give_back(service, first, how="retry", elapse=elapse)
        second = await take(service)

        assert not await service.release(first)

        assert (await service.get_status(task_id)).state is TaskState.PROCESSING
        assert await service.update_status(second, "completed")
