"""Promises about health, about what a backend does not have, and about the end of a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable
from indiaai_core.queue import QueueService, Task
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, take

__all__ = ["ClosePromises"]


class ClosePromises:
    """What `check` and `aclose` do."""

    @promise("Q97", "A check of a service that can serve passes and leaves nothing behind.")
    async def test_check_leaves_nothing_behind(self, service: QueueService) -> None:
        await service.check()

        assert await service.dequeue() is None
        await service.enqueue("process")
        await service.check()
        assert (await take(service)).attempt == 1

    @promise("Q98", "Closing ends a call that waits, with None; closing again does nothing.")
    async def test_close_ends_waiting_calls(self, service: QueueService) -> None:
        found: list[Task | None] = []

        async def wait() -> None:
            found.append(await service.dequeue(timeout=4 * PATIENCE_SECONDS))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.05)
                await service.aclose()
        await service.aclose()

        assert found == [None]

    @promise("Q99", "Every call after the end is BackendUnavailable.")
    async def test_closed_service_is_unavailable(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.aclose()

        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: service.enqueue("process"),
            service.dequeue,
            lambda: service.dequeue(1),
            lambda: service.get_status(task_id),
            lambda: service.update_status(task, "completed"),
            service.check,
        ]
        for call in calls:
            with pytest.raises(BackendUnavailable, match="closed"):
                await call()
