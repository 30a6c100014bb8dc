"""How the queue's suite waits: for a condition, with a bound; imported by its promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
import pytest

from indiaai_core.queue import QueueService, Task, TaskState, TaskStatus
from indiaai_core.testing.queue.clock import Elapse

__all__ = [
    "PATIENCE_SECONDS",
    "cancel_all_waits",
    "cancel_some",
    "drain",
    "eventually",
    "expect_none",
    "give_back",
    "lapse",
    "reach",
    "side_by_side",
    "take",
    "while_waiting",
]

PATIENCE_SECONDS = 10.0
"""How long the suite waits for what is to happen at once, before it says that it did not."""

_PAUSE_SECONDS = 0.01

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T | None]], *, what: str, within_seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until the answer is neither None nor False, and return it; fail when the time is over."""
    end = anyio.current_time() + within_seconds
    while True:
        found = await probe()
        if found is not None and found is not False:
            return found
        if anyio.current_time() > end:
            pytest.fail(f"{what}: not within {within_seconds:g} s.")
        await anyio.sleep(_PAUSE_SECONDS)


async def take(service: QueueService) -> Task:
    """Lease the task that is next; there must be one."""
    return await eventually(service.dequeue, what="a task that is ready is delivered")


async def drain(service: QueueService) -> list[Task]:
    """Lease what there is, and complete it."""
    tasks: list[Task] = []
    while (task := await service.dequeue()) is not None:
        assert await service.update_status(task, "completed")
        tasks.append(task)
    return tasks


async def lapse(service: QueueService, elapse: Elapse) -> Task:
    """Let a lease run out, and lease the task that is delivered again; there must be one."""
    await elapse(service.lease_seconds)
    return await eventually(service.dequeue, what="a task whose lease ran out is delivered again")


async def give_back(service: QueueService, task: Task, *, how: str, elapse: Elapse) -> None:
    """Let a delivery end so that the task is to be delivered again: by `retry`, by `release`, or else by its lease's end."""
    if how == "retry" and "retry" in service.capabilities:
        assert await service.retry(task, error="once more")
    elif how != "release" or not await service.release(task):
        await elapse(1.1 * service.lease_seconds)


async def reach(service: QueueService, task_id: str, *, state: TaskState) -> TaskStatus:
    """Wait until a task is in a state, and return its status; nothing may be delivered meanwhile."""

    async def probe() -> TaskStatus | None:
        assert await service.dequeue() is None, "a task was delivered that should not be"
        status = await service.get_status(task_id)
        return status if status.state is state else None

    return await eventually(probe, what=f"the task is {state}")


async def expect_none(service: QueueService, elapse: Elapse, *, for_seconds: float) -> None:
    """Ask for a task now and then for a while; none may come."""
    for _ in range(3):
        task = await service.dequeue()
        assert task is None, f"a task was delivered that should not be: {task}"
        await elapse(for_seconds / 2)


async def side_by_side(*calls: Callable[[], Awaitable[T]]) -> list[T | Exception]:
    """Make calls at the same time, and return what each gave or raised, in their order."""
    answers: list[T | Exception] = [LookupError("no answer")] * len(calls)

    async def answer(number: int) -> None:
        try:
            answers[number] = await calls[number]()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            answers[number] = error

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as group:
            for number in range(len(calls)):
                group.start_soon(answer, number)
    return answers


async def cancel_some(*calls: Callable[[], Awaitable[T]], cancel_after_turns: int) -> dict[int, T]:
    """Make calls at the same time, cancel every other one some turns of the event loop later, and return who gave what."""
    gave: dict[int, T] = {}
    scopes = [anyio.CancelScope() for _ in calls]

    async def answer(number: int) -> None:
        with scopes[number]:
            gave[number] = await calls[number]()

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as group:
            for number in range(len(calls)):
                group.start_soon(answer, number)
            for _ in range(cancel_after_turns):
                await anyio.lowlevel.checkpoint()
            for scope in scopes[1::2]:
                scope.cancel()
    return gave


async def while_waiting(
    act: Callable[[], Awaitable[object]], *waits: Callable[[], Awaitable[T]], after_seconds: float = 0.05
) -> list[T]:
    """Let calls wait, do something, and return what they gave, in the order in which they did."""
    found: list[T] = []

    async def wait(call: Callable[[], Awaitable[T]]) -> None:
        found.append(await call())

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as group:
            for call in waits:
                group.start_soon(wait, call)
            await anyio.sleep(after_seconds)
            await act()
    return found


async def cancel_all_waits(service: QueueService, *, waits: int, cancel_after_turns: int, limit: int = 1) -> list[Task]:
    """Start many waiting calls, cancel them all some turns of the event loop later, and return what they got."""
    got: list[Task] = []
    many = partial(service.dequeue_many, limit, PATIENCE_SECONDS)

    async def wait() -> None:
        if limit > 1:
            got.extend(await many())
        elif (task := await service.dequeue(timeout=PATIENCE_SECONDS)) is not None:
            got.append(task)

    async with anyio.create_task_group() as group:
        for _ in range(waits):
            group.start_soon(wait)
        for _ in range(cancel_after_turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    return got
