"""What can be registered with a worker, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core import ConfigurationError, InvalidTask, Platform, Task, Worker, use_platform
from indiaai_core.worker import CallNext
from worker_fakes import FakeQueue


def test_the_decorated_function_stays_as_it_is() -> None:
    """A handler can be called by its tests like any other function."""
    worker = Worker()

    @worker.task("process", max_attempts=5, timeout=60)
    def process(data: dict[str, int]) -> int:
        return data["a"] + 1

    assert process({"a": 1}) == 2
    assert worker.handlers["process"].max_attempts == 5
    assert worker.handlers["process"].timeout_seconds == 60


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines"])
def test_a_name_that_no_task_can_have_is_refused(name: str) -> None:
    """A handler that could never be called is refused where it is registered."""
    with pytest.raises(InvalidTask, match="task_name"):
        Worker().task(name)(print)


@pytest.mark.parametrize("max_attempts", [0, -1, 1001, True])
def test_a_limit_that_no_task_can_have_is_refused(max_attempts: int) -> None:
    """The limits of `max_attempts` are those of `enqueue`."""
    with pytest.raises(InvalidTask, match="max_attempts"):
        Worker().task("process", max_attempts=max_attempts)(lambda: None)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_ends_nothing_is_refused(timeout: float) -> None:
    """A timeout is above 0."""
    with pytest.raises(ValueError, match="expected seconds above 0, or None"):
        Worker().task("process", timeout=timeout)(lambda: None)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"grace_seconds": -1},
        {"grace_seconds": float("inf")},
        {"blocking_seconds": 0},
    ],
)
def test_options_out_of_their_limits_are_refused(options: dict[str, Any]) -> None:
    """A worker that could not work is refused when it is made, with the option at fault."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Worker(**options)


def test_two_handlers_for_one_task_are_refused() -> None:
    """Which of two handlers would run must not depend on the order of imports."""
    worker = Worker()

    @worker.task("process")
    def first() -> None: ...

    def second() -> None: ...

    with pytest.raises(ValueError, match=r"Two handlers for the task 'process': .*first and .*second"):
        worker.task("process")(second)


def test_a_worker_can_include_another() -> None:
    """Modules may each have a worker; what one has by then is worked by the one that includes it."""
    whole, part = Worker(), Worker()
    part.task("report")(lambda: None)
    part.cron("0 3 * * *", name="clean")(lambda: None)
    whole.task("process")(lambda: None)

    whole.include(part)

    assert sorted(whole.handlers) == ["clean", "process", "report"]
    assert list(whole.schedules) == ["clean"]


def test_including_a_name_twice_registers_nothing() -> None:
    """A clash is one error that names every name, and leaves the worker as it was."""
    whole, part = Worker(), Worker()
    for name in ("a", "b", "c"):
        part.task(name)(lambda: None)
    whole.task("b")(lambda: None)
    whole.task("c")(lambda: None)

    with pytest.raises(ValueError, match="Both workers have a handler for b, c"):
        whole.include(part)

    assert sorted(whole.handlers) == ["b", "c"]


@pytest.mark.anyio
async def test_included_handlers_keep_their_middleware(queue: FakeQueue) -> None:
    """Around an included handler stands the including worker's middleware, and inside of it its own."""
    order: list[str] = []

    def noting(name: str) -> Any:
        async def middleware(task: Task, call_next: CallNext) -> Any:
            order.append(name)
            return await call_next(task)

        return middleware

    whole, part = Worker(), Worker()
    part.task("process")(lambda: None)
    whole.include(part)
    whole.middleware.append(noting("whole"))
    part.middleware.append(noting("part"))
    await queue.enqueue("process")
    await whole.drain(queue)

    assert order == ["whole", "part"]


@pytest.mark.anyio
async def test_a_worker_without_handlers_does_not_run(queue: FakeQueue) -> None:
    """A worker that would make a dead letter of every task refuses to start, and leaves the tasks alone."""
    await queue.enqueue("process")

    with pytest.raises(ConfigurationError, match="has no handler"):
        await Worker().run(queue)

    assert queue.entry("task-1").attempts == 0


@pytest.mark.anyio
async def test_the_queue_is_the_current_platform_s_at_run_time(worker: Worker) -> None:
    """A worker takes the queue it is named for from the platform that is current when it runs."""
    main, bulk = FakeQueue(), FakeQueue()
    platform = Platform()
    platform.override("queue", main)
    platform.override("queue", bulk, "bulk")
    named = Worker("bulk")
    for each in (worker, named):
        each.task("process")(lambda: None)
    await main.enqueue("process", {"of": "main"})
    await bulk.enqueue("process", {"of": "bulk"})

    with use_platform(platform):
        outcomes = [*await worker.drain(), *await named.drain()]

    assert [outcome.task.data["of"] for outcome in outcomes] == ["main", "bulk"]
