"""Promises about putting a task into the queue."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_JSON_DEPTH, MAX_TASK_BYTES, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import cancel_some, drain, side_by_side, take

__all__ = ["EnqueuePromises"]

_JSON_OBJECT: dict[str, Any] = {
    "": "an empty key",
    "text": 'नमस्ते வணக்கம் 🪷 "quoted" back\\slash \n\t\x00\x7f',
    "integers": [0, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64 + 1, 10**40],
    "fractions": [0.1, 1.0, -0.0, -1.5e-300, 5e-324, 1.7976931348623157e308, 1e22],
    "others": [True, False, None, [], {}, [[[]]]],
    "nested": {"a": {"b": {"c": [1, {"d": "e"}]}}},
    "id": "not the task's",
    "क्षेत्र": {"नाम": "ज्ञानेश्वर", "பெயர்": "மதுரை", "e\u0301": "é", "🪷\u200d": "\ufeff\u2028\ue000\U0010ffff"},
}

_ODD_NAMES = ["क" * 200, "🪷" * 200, 'a"b\\c/d', "{x}:y*?[z]", "[1,2,null,3]", 'x",null]', "null", "0", "%s %d"]

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def _nested(levels: int) -> dict[str, Any]:
    """Return an object that nests so many levels deep, itself included."""
    return {} if levels == 1 else {"inner": _nested(levels - 1)}


def _filling(data_bytes: int) -> dict[str, str]:
    """Return an object that has so many bytes as JSON, most of them in letters of three bytes."""
    letters, rest = divmod(data_bytes - len('{"content":""}'), len("न".encode()))
    return {"content": "न" * letters + "x" * rest}


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
        await service.enqueue("नाम", _JSON_OBJECT)

        task = await take(service)

        assert task.name == "नाम"
        assert repr(task.data) == repr(_JSON_OBJECT)  # which tells 1 from 1.0 and 0.0 from -0.0

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
        given = [None, 1, 7, 1000]
        ids = [await service.enqueue("process", max_attempts=max_attempts) for max_attempts in given]

        tasks = [await take(service) for _ in ids]

        assert {task.id: task.max_attempts for task in tasks} == dict(zip(ids, given, strict=True))

    @promise("Q10", "`max_attempts` outside of 1 to 1,000 is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize("max_attempts", [0, -1, 1001, 1.5, True, "3"])
    async def test_bad_max_attempts_is_refused(self, service: QueueService, max_attempts: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue("process", max_attempts=max_attempts)

        assert await service.dequeue() is None

    @promise("Q100", "Tasks that are enqueued side by side are all queued, each under its own id and with its own data.")
    async def test_enqueues_side_by_side_are_all_queued(self, service: QueueService) -> None:
        ids = await side_by_side(*[partial(service.enqueue, "process", {"n": n}) for n in range(60)])

        tasks = await drain(service)

        assert {task.id: task.data for task in tasks} == {task_id: {"n": n} for n, task_id in enumerate(ids)}
        assert len(tasks) == 60

    @promise("Q101", "Of tasks that are enqueued side by side, one that is bad is refused alone.")
    async def test_bad_task_is_refused_alone(self, service: QueueService) -> None:
        data = [{"n": object() if n % 5 == 2 else n} for n in range(20)]

        answers = await side_by_side(*[partial(service.enqueue, "process", one) for one in data])

        refused = {n: answer for n, answer in enumerate(answers) if isinstance(answer, Exception)}
        assert all(isinstance(answer, InvalidTask) for answer in refused.values()), refused
        assert [*refused] == [2, 7, 12, 17]
        assert {task.id for task in await drain(service)} == set(answers) - {answers[n] for n in refused}

    @promise("Q102", "An enqueue that is cancelled takes no other with it: it is queued once or not, and the others once.")
    @pytest.mark.parametrize("turns", range(4))
    async def test_cancelled_enqueue_takes_no_other_with_it(self, service: QueueService, turns: int) -> None:
        calls = [partial(service.enqueue, "process", {"n": n}) for n in range(20)]

        acknowledged = await cancel_some(*calls, cancel_after_turns=turns)

        delivered = [(task.id, task.data["n"]) for task in await drain(service)]
        assert set(acknowledged) >= set(range(0, 20, 2)), "the calls that were not cancelled have an answer"
        assert set(delivered) >= {(task_id, n) for n, task_id in acknowledged.items()}
        assert len({n for _, n in delivered}) == len(delivered)

    @promise("Q103", "Whatever JSON object is enqueued is delivered, the order of its keys included.")
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.dictionaries(st.text(max_size=10), _json_values, max_size=5))
    async def test_any_object_comes_back(self, service: QueueService, data: dict[str, Any]) -> None:
        await service.enqueue("process", data)

        (task,) = await drain(service)

        assert repr(task.data) == repr(data)

    @promise("Q104", "A name is any 200 printable characters, in any script.")
    async def test_any_name_comes_back(self, service: QueueService) -> None:
        ids = [await service.enqueue(name) for name in _ODD_NAMES]

        known = [(await service.get_status(task_id)).name for task_id in ids]

        assert known == _ODD_NAMES
        assert {task.id: task.name for task in await drain(service)} == dict(zip(ids, _ODD_NAMES, strict=True))

    @promise("Q105", "Data of exactly 256 KiB, counted in bytes of UTF-8, is delivered whole; one byte more is InvalidTask.")
    async def test_the_limit_is_counted_in_bytes(self, service: QueueService) -> None:
        await service.enqueue("process", _filling(MAX_TASK_BYTES))

        with pytest.raises(InvalidTask, match="storage"):
            await service.enqueue("process", _filling(MAX_TASK_BYTES + 1))

        (task,) = await drain(service)
        assert task.data == _filling(MAX_TASK_BYTES)

    @promise("Q106", "Data that nests 100 levels deep is delivered; 101 levels are InvalidTask.")
    async def test_the_deepest_data_is_delivered(self, service: QueueService) -> None:
        await service.enqueue("process", _nested(MAX_JSON_DEPTH))

        with pytest.raises(InvalidTask):
            await service.enqueue("process", _nested(MAX_JSON_DEPTH + 1))

        (task,) = await drain(service)
        assert task.data == _nested(MAX_JSON_DEPTH)
