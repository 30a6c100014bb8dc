"""How attempts end: results, failures, retries, rejections, timeouts."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, field_serializer

from indiaai_core import BackendUnavailable, Reject, Retry, Task, TaskState, Worker
from indiaai_core.worker import Backoff, CallNext, OutcomeKind, TaskContext, current_task, leases
from worker_fakes import BareQueue, FakeQueue, make_task, until

pytestmark = pytest.mark.anyio


class Count(BaseModel):
    """A result as a model."""

    words: int
    at: Any = None

    @field_serializer("at", when_used="unless-none")
    def _refuse(self, value: Any) -> Any:
        raise ValueError(f"cannot write {value}")


async def test_what_a_handler_returns_is_the_task_s_result(queue: FakeQueue, worker: Worker) -> None:
    """A JSON value is kept as the result, and the task is completed."""

    @worker.task("process")
    async def process(task: Task) -> dict[str, Any]:
        return {"words": 3, "of": task.data["key"]}

    task_id = await queue.enqueue("process", {"key": "a"})
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.result == {"words": 3, "of": "a"}
    entry = queue.entry(task_id)
    assert (entry.state, entry.result) == (TaskState.COMPLETED, {"words": 3, "of": "a"})


async def test_a_model_is_a_result(queue: FakeQueue, worker: Worker) -> None:
    """A pydantic model that is returned is kept in its JSON form."""

    @worker.task("process")
    async def process(task: Task) -> Count:
        return Count(words=3)

    task_id = await queue.enqueue("process")
    await worker.drain(queue)

    assert queue.entry(task_id).result == {"words": 3, "at": None}


@pytest.mark.parametrize(
    "result", [object(), {1: "a"}, float("nan"), {"a", "b"}, "\udce9", Count(words=1, at=2), "x" * 300_000]
)
async def test_a_result_that_is_not_json_fails_without_another_attempt(
    result: object, queue: FakeQueue, worker: Worker
) -> None:
    """What cannot be kept makes a dead letter that says so: another attempt would do the same work for the same end."""

    @worker.task("process", max_attempts=9)
    async def process(task: Task) -> object:
        return result

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FAILED]
    entry = queue.entry(task_id)
    assert entry.state is TaskState.FAILED
    assert "result" in (entry.error or "")
    assert len(entry.error or "") < 2500


async def test_an_exception_is_retried_until_the_attempts_are_spent(queue: FakeQueue, worker: Worker) -> None:
    """A failing task is tried as often as its handler says, and is a dead letter then, with error and traceback."""

    @worker.task("process", max_attempts=3)
    async def process(task: Task) -> None:
        raise ValueError(f"attempt {task.attempt}")

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == ["retried", "retried", "failed"]
    entry = queue.entry(task_id)
    assert (entry.state, entry.attempts, entry.error) == (TaskState.FAILED, 3, "ValueError: attempt 3")
    assert entry.traceback is not None
    assert "in process" in entry.traceback
    assert "indiaai_core" not in entry.traceback


@pytest.mark.parametrize(("at_enqueue", "at_handler", "attempts"), [(2, 4, 2), (None, 4, 4), (None, None, 5), (1, 4, 1)])
async def test_the_task_s_own_limit_wins_over_its_handler_s(
    at_enqueue: int | None, at_handler: int | None, attempts: int, queue: FakeQueue, worker: Worker
) -> None:
    """How often a task is tried is said by `enqueue`, else by its handler, else by the default."""

    @worker.task("process", max_attempts=at_handler)
    async def process() -> None:
        raise ValueError

    task_id = await queue.enqueue("process", max_attempts=at_enqueue)
    await worker.drain(queue)

    assert queue.entry(task_id).attempts == attempts
    assert queue.entry(task_id).max_attempts == (attempts if attempts > 1 else at_enqueue)


async def test_a_handler_knows_whether_its_attempt_is_the_last(queue: FakeQueue, worker: Worker) -> None:
    """`task.is_last_attempt` goes by the limit that counts, the handler's included."""
    seen: list[tuple[int, bool]] = []

    @worker.task("process", max_attempts=2)
    async def process(task: Task, context: TaskContext) -> None:
        seen.append((task.attempt, task.is_last_attempt))
        assert context.task.is_last_attempt == current_task().is_last_attempt == task.is_last_attempt
        raise ValueError

    await queue.enqueue("process")
    await worker.drain(queue)

    assert seen == [(1, False), (2, True)]


async def test_the_wait_between_attempts_is_the_handler_s_backoff(queue: FakeQueue) -> None:
    """The handler's backoff decides the wait, the worker's where it has none."""
    worker = Worker(backoff=Backoff(base_seconds=7, jitter=max))

    @worker.task("own", backoff=Backoff(base_seconds=3, jitter=max))
    async def own() -> None:
        raise ValueError

    @worker.task("plain")
    async def plain() -> None:
        raise ValueError

    await queue.enqueue("own")
    await queue.enqueue("plain")
    outcomes = await worker.drain(queue)

    assert [outcome.delay_seconds for outcome in outcomes] == [3, 7]


@pytest.mark.parametrize("is_raised", [True, False])
async def test_a_handler_can_ask_for_a_retry(is_raised: bool, queue: FakeQueue, worker: Worker) -> None:
    """`Retry`, raised or returned, gives the task back for the time it names, with its reason as the error."""

    @worker.task("process")
    async def process(task: Task) -> Retry:
        if is_raised:
            raise Retry(after=90, reason="the page is not there yet")
        return Retry(after=90, reason="the page is not there yet")

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [(outcome.kind, outcome.delay_seconds) for outcome in outcomes] == [(OutcomeKind.RETRIED, 90)]
    assert queue.entry(task_id).state is TaskState.PENDING
    assert queue.entry(task_id).error == "the page is not there yet"


async def test_a_retry_counts_as_an_attempt(queue: FakeQueue, worker: Worker) -> None:
    """A handler that asks for ever ends as a dead letter all the same."""

    @worker.task("process", max_attempts=3)
    async def process(task: Task) -> Retry:
        return Retry()

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert len(outcomes) == 3
    assert queue.entry(task_id).state is TaskState.FAILED


@pytest.mark.parametrize("is_raised", [True, False])
async def test_a_rejected_task_is_a_dead_letter_at_once(is_raised: bool, queue: FakeQueue, worker: Worker) -> None:
    """`Reject`, raised or returned, ends a task whatever attempts are left, and its reason is the error."""

    @worker.task("process", max_attempts=9)
    def process(task: Task) -> Reject:
        if is_raised:
            raise Reject("the file is broken")
        return Reject("the file is broken")

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FAILED]
    assert queue.entry(task_id).error == "the file is broken"


async def test_a_task_without_a_handler_is_a_dead_letter_that_says_why(queue: FakeQueue, worker: Worker) -> None:
    """A name nobody registered fails at once; the error names what is registered and what was probably meant."""
    worker.task("process")(lambda: None)
    worker.task("report")(lambda: None)

    task_id = await queue.enqueue("proces")
    await worker.drain(queue)

    assert queue.entry(task_id).state is TaskState.FAILED
    assert queue.entry(task_id).error == (
        "No handler is registered for the task 'proces'. Did you mean 'process'? Registered: process, report. "
        "Register one, and requeue the task."
    )


async def test_a_backend_that_says_when_to_come_back_is_listened_to(queue: FakeQueue, worker: Worker) -> None:
    """`BackendUnavailable.retry_after`, raised in a handler, is the least that the task waits."""

    @worker.task("process")
    async def process() -> None:
        raise BackendUnavailable("too many requests", retry_after=40)

    await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [outcome.delay_seconds for outcome in outcomes] == [40]


async def test_a_delivery_after_the_last_attempt_is_not_worked(queue: FakeQueue, worker: Worker) -> None:
    """A task that killed its workers is not given another: delivered beyond its limit, it fails without being called."""
    calls: list[Task] = []
    worker.task("process", max_attempts=1)(calls.append)
    await queue.enqueue("process")
    await queue.dequeue()
    queue.entry("task-1").lease_ends_at = 0

    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert "delivered 2 times and may be tried 1 times" in (outcome.error or "")
    assert calls == []


async def test_an_attempt_that_takes_too_long_is_ended(queue: FakeQueue, worker: Worker) -> None:
    """At its timeout an async handler is cancelled, and the task is retried."""
    ended: list[str] = []

    @worker.task("process", timeout=0.05, max_attempts=2)
    async def process() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == ["retried", "failed"]
    assert ended == ["cancelled", "cancelled"]
    assert queue.entry(task_id).error == "The handler did not finish within its timeout of 0.05 s."


async def test_a_handler_that_is_ended_can_clean_up(queue: FakeQueue, worker: Worker) -> None:
    """A cancelled handler may still await what its cleaning up needs: the cancellation comes once."""
    cleaned_up: list[str] = []

    @worker.task("process", timeout=0.05, max_attempts=1)
    async def process() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(0.01)
            cleaned_up.append(await anyio.to_thread.run_sync(lambda: "rolled back"))

    await queue.enqueue("process")
    outcomes = await worker.drain(queue)

    assert cleaned_up == ["rolled back"]
    assert "timeout" in (outcomes[0].error or "")


async def test_a_handler_that_hangs_in_its_cleaning_up_is_cancelled_again(
    queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaning up has a bound: what hangs in there is cancelled until it ends."""
    monkeypatch.setattr(leases, "CLEANUP_SECONDS", 0.03)
    cancellations: list[int] = []

    @worker.task("process", timeout=0.03, max_attempts=1)
    async def process() -> None:
        while len(cancellations) < 3:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                cancellations.append(1)

    await queue.enqueue("process")
    with anyio.fail_after(5):
        outcomes = await worker.drain(queue)

    assert len(cancellations) == 3
    assert outcomes[0].kind is OutcomeKind.COMPLETED


async def test_an_ended_handler_leaves_no_cancellation_behind(queue: FakeQueue, worker: Worker) -> None:
    """What ended a handler does not reach what is done after it: its task is settled, and cancelled by nobody."""
    counts: list[int] = []

    class Counting(FakeQueue):
        async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
            own = asyncio.current_task()
            assert own is not None
            counts.append(own.cancelling())
            return await super().update_status(task_id, status, data)

    counting = Counting()

    @worker.task("process", timeout=0.03, max_attempts=1)
    async def process() -> None:
        await anyio.sleep_forever()

    task_id = await counting.enqueue("process")
    await worker.drain(counting)

    assert counts == [0]
    assert counting.entry(task_id).state is TaskState.FAILED


async def test_a_handler_that_finishes_while_it_is_cancelled_has_finished(queue: FakeQueue, worker: Worker) -> None:
    """A result that a handler saves at its timeout is its result; what it raises then is the timeout all the same."""

    @worker.task("saves", timeout=0.05)
    async def saves() -> str:
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            return "partial"
        return "whole"

    @worker.task("breaks", timeout=0.05)
    async def breaks() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            raise ValueError("in the middle") from None

    for name in ("saves", "breaks"):
        await queue.enqueue(name, max_attempts=1)
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == ["completed", "failed"]
    assert "timeout" in (outcomes[1].error or "")


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), BaseExceptionGroup("two", [SystemExit(1)])])
async def test_what_would_end_a_program_fails_an_attempt_only(error: BaseException, queue: FakeQueue, worker: Worker) -> None:
    """`sys.exit()` in a handler, or the cancelled future it awaited, ends the attempt and not the worker."""

    @worker.task("process", max_attempts=1)
    async def process() -> None:
        raise error

    task_id = await queue.enqueue("process")
    await worker.drain(queue)

    assert queue.entry(task_id).state is TaskState.FAILED
    assert type(error).__name__ in (queue.entry(task_id).error or "")


async def test_a_plain_handler_that_exits_fails_an_attempt_only(queue: FakeQueue, worker: Worker) -> None:
    """`sys.exit()` in a thread ends the attempt and neither the thread pool nor the worker."""
    worker.task("process", max_attempts=1)(lambda: sys.exit(3))

    task_id = await queue.enqueue("process")
    await worker.drain(queue)

    assert queue.entry(task_id).error == "SystemExit: 3"


async def test_middleware_stands_around_a_handler(queue: FakeQueue, worker: Worker) -> None:
    """Middleware sees the delivery and the result, the first one outermost, and may change both."""
    order: list[str] = []

    def noting(name: str) -> Any:
        async def middleware(task: Task, call_next: CallNext) -> Any:
            order.append(f"{name} before {task.data['key']}")
            result = await call_next(task)
            order.append(f"{name} after {result}")
            return f"{result} {name}"

        return middleware

    worker.middleware += [noting("outer"), noting("inner")]
    worker.task("process")(lambda data: data["key"])
    await queue.enqueue("process", {"key": "a"})
    outcomes = await worker.drain(queue)

    assert order == ["outer before a", "inner before a", "inner after a", "outer after a inner"]
    assert outcomes[0].result == "a inner outer"


async def test_what_middleware_raises_is_the_attempt_s_end(queue: FakeQueue, worker: Worker) -> None:
    """Middleware can reject, retry and fail a task as its handler can, and sees what the handler raises."""
    seen: list[str] = []

    async def guard(task: Task, call_next: CallNext) -> Any:
        try:
            return await call_next(task)
        except ValueError as error:
            seen.append(str(error))
            raise Reject("not for us") from error

    @worker.task("process")
    async def process() -> None:
        raise ValueError("boom")

    worker.middleware.append(guard)
    task_id = await queue.enqueue("process")
    await worker.drain(queue)

    assert seen == ["boom"]
    assert queue.entry(task_id).error == "not for us"


async def test_a_backend_of_four_methods_leaves_a_failed_attempt_to_its_lease(worker: Worker) -> None:
    """Without `retry`, a task that failed comes back when its lease has run out, and after its last attempt it is failed."""
    queue = BareQueue(lease_seconds=30)
    attempts: list[int] = []

    @worker.task("process", max_attempts=2)
    async def process(task: Task) -> None:
        attempts.append(task.attempt)
        raise ValueError("boom")

    await queue.enqueue("process")
    first = await worker.run_once(queue)
    at_once = await worker.run_once(queue)
    queue.entry("task-1").lease_ends_at = 0
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.FAILED)

    assert first is not None
    assert (first.kind, at_once) == (OutcomeKind.RETRIED, None)
    assert 0 < first.delay_seconds <= 30
    assert attempts == [1, 2]
    assert queue.entry("task-1").error == "ValueError: boom"


async def test_drain_works_what_handlers_enqueue_meanwhile(queue: FakeQueue, worker: Worker) -> None:
    """`drain` goes on until nothing is due, in order, and gives every outcome."""

    @worker.task("first")
    async def first() -> None:
        await queue.enqueue("second")

    worker.task("second")(lambda: None)
    await queue.enqueue("first")
    outcomes = await worker.drain(queue)

    assert [outcome.task.name for outcome in outcomes] == ["first", "second"]


async def test_drain_gives_up_on_a_task_that_enqueues_itself(queue: FakeQueue, worker: Worker) -> None:
    """`drain` ends at its limit with an error that names the task."""

    @worker.task("again")
    async def again() -> None:
        await queue.enqueue("again")

    await queue.enqueue("again")
    with pytest.raises(RuntimeError, match="More than 5 tasks were due; the last one was 'again'"):
        await worker.drain(queue, limit=5)


async def test_run_once_gives_nothing_where_nothing_is_due(queue: FakeQueue, worker: Worker) -> None:
    """`run_once` on an empty queue does not wait."""
    worker.task("process")(lambda: None)

    outcome = await worker.run_once(queue)

    assert outcome is None


def test_a_delivery_can_be_made_by_hand() -> None:
    """The tests' own deliveries are as the contract describes them."""
    task = make_task("process", {"key": "a"}, attempt=5)

    assert task.is_last_attempt
