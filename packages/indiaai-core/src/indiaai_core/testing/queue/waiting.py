"""How the queue's suite waits: for a condition, with a bound; imported by its promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from indiaai_core.queue import QueueService, Task, TaskState, TaskStatus

__all__ = ["CLOCK_SLACK_SECONDS", "PATIENCE_SECONDS", "cancel_all_waits", "eventually", "expect_none", "lapse", "reach", "take"]

PATIENCE_SECONDS = 10.0
"""How long the suite waits for what is to happen at once, before it says that it did not."""

CLOCK_SLACK_SECONDS = 0.02
"""How far the store's clock and the test's may be apart over the second or so that a promise takes."""

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


async def lapse(service: QueueService) -> Task:
    """Wait until a lease has run out and the task is delivered again."""
    within_seconds = 2 * service.lease_seconds + PATIENCE_SECONDS
    return await eventually(
        service.dequeue, what="a task whose lease ran out is delivered again", within_seconds=within_seconds
    )


async def reach(service: QueueService, task_id: str, *, state: TaskState) -> TaskStatus:
    """Wait until a task is in a state, and return its status; nothing may be delivered meanwhile."""

    async def probe() -> TaskStatus | None:
        assert await service.dequeue() is None, "a task was delivered that should not be"
        status = await service.get_status(task_id)
        return status if status.state is state else None

    within_seconds = 2 * service.lease_seconds + PATIENCE_SECONDS
    return await eventually(probe, what=f"the task is {state}", within_seconds=within_seconds)


async def expect_none(service: QueueService, *, for_seconds: float) -> None:
    """Ask for a task again and again for a while; none may come."""
    end = anyio.current_time() + for_seconds
    while anyio.current_time() < end:
        task = await service.dequeue()
        assert task is None, f"a task was delivered that should not be: {task}"
        await anyio.sleep(_PAUSE_SECONDS)


async def cancel_all_waits(service: QueueService, *, waits: int, cancel_after_turns: int) -> list[Task]:
    """Start many waiting `dequeue` calls, cancel them all some turns of the event loop later, and return what they got."""
    got: list[Task] = []

    async def wait() -> None:
        task = await service.dequeue(timeout=PATIENCE_SECONDS)
        if task is not None:
            got.append(task)

    async with anyio.create_task_group() as group:
        for _ in range(waits):
            group.start_soon(wait)
        for _ in range(cancel_after_turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    return got
