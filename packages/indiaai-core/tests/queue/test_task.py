"""What travels through a queue: tasks, their data, and what becomes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core import InvalidTask, NewTask, Task, TaskState, TaskStatus
from indiaai_core.queue import (
    DEFAULT_MAX_ATTEMPTS,
    FINAL_STATES,
    MAX_DELAY_SECONDS,
    MAX_ERROR_CHARACTERS,
    MAX_JSON_DEPTH,
    MAX_TASK_BYTES,
    StatusUpdate,
    check_delay,
    check_limit,
    encode_json,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> Any:
    """Return lists in lists, `depth` of them."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def delivery(**fields: Any) -> Task:
    """Return a delivery."""
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    known: dict[str, Any] = {"id": "1", "name": "process", "data": {}, "attempt": 1, "max_attempts": None, "priority": 0}
    return Task(**{**known, "enqueued_at": moment, "lease_expires_at": moment, "lease": "a", **fields})


@given(json_values)
def test_json_comes_back_as_it_was(value: Any) -> None:
    """Whatever JSON can say is written, and read back as the same."""
    assert json.loads(encode_json(value, what="data")) == value


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("-inf"), {1: 2}, {"a": [{None: 1}]}, {"a": object()}, b"", {1, 2}, "\udfff", 1j],
    ids=["nan", "inf", "key", "inner-key", "object", "bytes", "set", "surrogate", "complex"],
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    """A value that JSON has no word for is InvalidTask, which says what it was found in."""
    with pytest.raises(InvalidTask, match="the thing is not JSON"):
        encode_json(value, what="the thing")


def test_data_that_holds_itself_is_refused() -> None:
    """A value without an end is InvalidTask, soon, however often it holds itself."""
    once: list[Any] = []
    once.append(once)
    often: list[Any] = []
    often.extend([often] * 10_000)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping

    for value in (once, often, mapping):
        with pytest.raises(InvalidTask):
            encode_json(value, what="data")


def test_nesting_is_allowed_to_its_limit() -> None:
    """Objects and arrays nest 100 deep, and no deeper."""
    encode_json(nested(MAX_JSON_DEPTH), what="data")

    with pytest.raises(InvalidTask, match="100 levels"):
        encode_json(nested(MAX_JSON_DEPTH + 1), what="data")


def test_size_is_allowed_to_its_limit() -> None:
    """The limit counts bytes of UTF-8, and the error says what to do with more."""
    encode_json("x" * (MAX_TASK_BYTES - 2), what="data")

    with pytest.raises(InvalidTask, match=r"262145 bytes.*limit is 262144.*storage service"):
        encode_json("x" * (MAX_TASK_BYTES - 1), what="data")
    with pytest.raises(InvalidTask):
        encode_json("அ" * 10, what="data", max_bytes=31)


def test_too_many_values_are_refused_before_they_are_written() -> None:
    """What has more values than there may be bytes is not written first."""
    with pytest.raises(InvalidTask, match="more than 1000 values"):
        encode_json([0] * 1001, what="data", max_bytes=1000)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\tb"},
        {"name": None},
        {"name": "process", "data": [1]},
        {"name": "process", "data": "text"},
        {"name": "process", "delay": -1},
        {"name": "process", "delay": True},
        {"name": "process", "delay": MAX_DELAY_SECONDS + 1},
        {"name": "process", "priority": 101},
        {"name": "process", "priority": 1.0},
        {"name": "process", "max_attempts": 0},
        {"name": "process", "max_attempts": 1001},
        {"name": "process", "dedupe_key": ""},
        {"name": "process", "dedupe_key": 7},
    ],
    ids=str,
)
def test_bad_task_cannot_be_made(fields: dict[str, Any]) -> None:
    """A task that is out of its limits is refused when it is made."""
    with pytest.raises(InvalidTask):
        NewTask(**fields)


def test_limits_of_a_task_are_allowed() -> None:
    """What is on the limit is within."""
    task = NewTask("x" * 200, {}, delay=MAX_DELAY_SECONDS, priority=-100, max_attempts=1000, dedupe_key="ॐ" * 200)

    assert task.encoded() == b"{}"


def test_long_value_is_not_repeated_in_an_error() -> None:
    """An error shows the beginning of what it refuses."""
    with pytest.raises(InvalidTask) as caught:
        NewTask("x" * 100_000)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("limit", [0, -1, 1.0, True, None, "1"])
def test_bad_limit_is_refused(limit: Any) -> None:
    """A number of tasks is a whole number of at least one."""
    check_limit(1)

    with pytest.raises(InvalidTask, match="limit"):
        check_limit(limit)


@pytest.mark.parametrize("delay", [-0.001, float("nan"), float("inf"), "1", None, True])
def test_bad_delay_is_refused(delay: Any) -> None:
    """A delay is a number of seconds from 0 to 366 days."""
    check_delay(0.5)

    with pytest.raises(InvalidTask, match="delay"):
        check_delay(delay)


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "is_last"),
    [(1, None, False), (DEFAULT_MAX_ATTEMPTS, None, True), (1, 1, True), (2, 3, False), (4, 3, True)],
)
def test_last_attempt_is_known(attempt: int, max_attempts: int | None, *, is_last: bool) -> None:
    """The last attempt is the one after which there is none."""
    assert delivery(attempt=attempt, max_attempts=max_attempts).is_last_attempt is is_last


@pytest.mark.parametrize("state", list(TaskState))
def test_final_states_are_final(state: TaskState) -> None:
    """A status says whether its task has come to an end."""
    status = TaskStatus("1", "process", state, 0, datetime(2025, 1, 1, tzinfo=UTC))

    assert status.is_final == (state in FINAL_STATES) == (state in ("completed", "failed", "cancelled"))


@pytest.mark.parametrize("status", ["pending", "cancelled", "done", "", None, 7])
def test_only_three_states_can_be_set(status: Any) -> None:
    """A worker completes, fails or renews; the error lists the three."""
    with pytest.raises(InvalidTask, match="completed, failed, processing"):
        StatusUpdate.of(status, None)


def test_completed_carries_its_result_as_json() -> None:
    """A result is written when it is given, so that no later change reaches it."""
    assert StatusUpdate.of("completed", {"a": 1}) == StatusUpdate(TaskState.COMPLETED, b'{"a":1}')
    assert StatusUpdate.of(TaskState.PROCESSING, None) == StatusUpdate(TaskState.PROCESSING, None)


@pytest.mark.parametrize(
    ("data", "error", "traceback"),
    [
        ("broken", "broken", None),
        ({"error": "broken", "traceback": "line 7"}, "broken", "line 7"),
        ({"error": 7}, "7", None),
        ({"reason": "x"}, '{"reason":"x"}', None),
        (["x"], '["x"]', None),
        (None, "The worker gave no reason.", None),
        ("", "The worker gave no reason.", None),
    ],
)
def test_error_is_found_in_what_a_worker_says(data: Any, error: str, traceback: str | None) -> None:
    """Text is the error; an object may have a traceback; of anything else the JSON is shown."""
    update = StatusUpdate.of("failed", data)

    assert (update.state, update.error, update.traceback) == (TaskState.FAILED, error, traceback)


def test_long_error_keeps_its_beginning_and_a_long_traceback_its_end() -> None:
    """What is kept of a failure is bounded, and is the part that tells most."""
    update = StatusUpdate.failure("a" + "b" * 10**6, traceback="c" * 10**6 + "d")

    assert update.error[0] == "a"
    assert (update.traceback or "")[-1] == "d"
    assert len(update.error) == len(update.traceback or "") == MAX_ERROR_CHARACTERS


def test_half_a_surrogate_in_an_error_can_be_stored() -> None:
    """An error may quote anything, and is valid UTF-8 all the same."""
    assert StatusUpdate.failure("\ud800 was found").error == "? was found"


@pytest.mark.parametrize("status", ["completed", "failed", "processing"])
def test_too_large_an_update_is_refused(status: str) -> None:
    """A result, an error and a progress report have one limit."""
    with pytest.raises(InvalidTask, match="limit is 10 bytes"):
        StatusUpdate.of(status, "x" * 9, max_bytes=10)
