"""Promises about putting a task into the queue."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_TASK_BYTES, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import take

__all__ = ["EnqueuePromises"]

JSON_OBJECT: dict[str, Any] = {
    "": "an empty key",
    "text": 'नमस्ते வணக்கம் 🪷 "quoted" back\\slash \n\t\x00\x7f',
    "numbers": [0, -1, 2**31, 2**53 + 1, 2**64 + 1, 0.1, -1.5e-300, 1e308],
    "others": [True, False, None, [], {}, [[[]]]],
    "nested": {"a": {"b": {"c": [1, {"d": "e"}]}}},
    "id": "not the task's",
}


class EnqueuePromises:
    """What `enqueue` does."""

    @promise("Q01", "A task that was enqueued is delivered, with its name, its id and its data.")
    async def test_enqueued_task_is_delivered(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", {"key": "a/b"})

        task = await take(service)

        assert (task.id, task.name, task.data) == (task_id, "process", {"key": "a/b"})

    @promise("Q02", "Every task gets an id of its own, as text.")
    async def test_each_task_gets_an_id_of_its_own(self, service: QueueService) -> None:
        ids = [await service.enqueue("same", {"n": 1}) for _ in range(20)]

        assert {type(task_id) for task_id in ids} == {str}
        assert len(set(ids) - {""}) == 20

    @promise("Q03", "What is delivered is what JSON carries, exactly: any text, any number, any nesting.")
    async def test_data_comes_back_as_json_carries_it(self, service: QueueService) -> None:
        await service.enqueue("नाम", JSON_OBJECT)

        task = await take(service)

        assert task.name == "नाम"
        assert task.data == JSON_OBJECT
        assert [type(number) for number in task.data["numbers"]] == [type(number) for number in JSON_OBJECT["numbers"]]

    @promise("Q04", "A later change to the data that was given reaches nobody.")
    async def test_later_change_by_the_caller_reaches_nobody(self, service: QueueService) -> None:
        data = {"pages": [1]}
        await service.enqueue("process", data)
        data["pages"].append(2)

        task = await take(service)

        assert task.data == {"pages": [1]}

    @promise("Q05", "A task without data is delivered with an empty object.")
    async def test_no_data_is_an_empty_object(self, service: QueueService) -> None:
        await service.enqueue("nightly")

        task = await take(service)

        assert task.data == {}

    @promise("Q06", "A name or data that no queue can hold is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("", {}),
            ("x" * 201, {}),
            ("two\nlines", {}),
            (7, {}),
            ("process", [1]),
            ("process", {1: "a"}),
            ("process", {"a": {2: "b"}}),
            ("process", {"a": float("nan")}),
            ("process", {"a": float("inf")}),
            ("process", {"a": object()}),
            ("process", {"a": b"bytes"}),
            ("process", {"a": "\ud800"}),
        ],
        ids=["empty", "long", "control", "number", "list", "key", "inner-key", "nan", "inf", "object", "bytes", "surrogate"],
    )
    async def test_bad_task_is_refused(self, service: QueueService, name: Any, data: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue(name, data)

        assert await service.dequeue() is None

    @promise("Q07", "Data of more than 256 KiB is InvalidTask, which says to store it and queue its key; nothing is queued.")
    async def test_too_large_a_task_is_refused(self, service: QueueService) -> None:
        with pytest.raises(InvalidTask, match="storage"):
            await service.enqueue("process", {"content": "x" * MAX_TASK_BYTES})

        assert await service.dequeue() is None

    @promise("Q08", "Data of 200 KB is delivered whole.")
    async def test_large_data_is_delivered_whole(self, service: QueueService) -> None:
        await service.enqueue("process", {"content": "x" * 200_000})

        task = await take(service)

        assert task.data == {"content": "x" * 200_000}

    @promise("Q09", "A delivery carries the `max_attempts` it was enqueued with, and None where nobody said.")
    async def test_delivery_carries_its_max_attempts(self, service: QueueService) -> None:
        await service.enqueue("process", max_attempts=7)
        await service.enqueue("process")

        first, second = await take(service), await take(service)

        assert {first.max_attempts, second.max_attempts} == {7, None}

    @promise("Q10", "`max_attempts` outside of 1 to 1,000 is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize("max_attempts", [0, -1, 1001, 1.5, True, "3"])
    async def test_bad_max_attempts_is_refused(self, service: QueueService, max_attempts: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue("process", max_attempts=max_attempts)

        assert await service.dequeue() is None
