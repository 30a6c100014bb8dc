"""Promises about health, about what a backend does not have, and about the end of a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from indiaai_core.errors import BackendUnavailable
from indiaai_core.queue import Counts, NewTask, QueueService, Task
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, take, while_waiting

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
        found: list[Task | None] = await while_waiting(
            service.aclose, *[lambda: service.dequeue(timeout=4 * PATIENCE_SECONDS)] * 3
        )
        await service.aclose()

        assert found == [None, None, None]

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

    @promise("Q167", "Every other call after the end is BackendUnavailable, too.")
    async def test_closed_service_operates_nothing(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.aclose()

        calls: dict[str, list[Callable[[], Awaitable[object]]]] = {
            "": [lambda: service.enqueue_many([NewTask("process")]), lambda: service.dequeue_many(2), service.probe],
            "retry": [lambda: service.retry(task)],
            "cancel": [lambda: service.cancel(task_id)],
            "dead_letters": [service.dead_letters, lambda: service.requeue(task_id)],
            "counts": [service.counts],
            "purge": [service.purge],
            "complete_many": [lambda: service.complete_many([(task, None)])],
        }
        for capability in {"", *service.capabilities} & calls.keys():
            for call in calls[capability]:
                with pytest.raises(BackendUnavailable, match="closed"):
                    await call()

    @promise("Q168", "Closing ends a call for many that waits, with none.")
    async def test_close_ends_waiting_calls_for_many(self, service: QueueService) -> None:
        (found,) = await while_waiting(service.aclose, lambda: service.dequeue_many(3, timeout=4 * PATIENCE_SECONDS))

        assert found == []

    @promise("Q169", "Closing one service leaves another on the same store alone, the calls that wait at it included.")
    async def test_close_leaves_the_other_service_alone(self, service: QueueService, second_service: QueueService) -> None:
        ids: list[str] = []

        async def close_and_enqueue() -> None:
            await service.aclose()
            ids.append(await second_service.enqueue("process"))

        (task,) = await while_waiting(close_and_enqueue, lambda: second_service.dequeue(timeout=4 * PATIENCE_SECONDS))

        assert [task and task.id] == ids

    @promise("Q170", "A probe of a service that can serve passes and leaves nothing behind.")
    async def test_probe_leaves_nothing_behind(self, service: QueueService) -> None:
        for _ in range(3):
            await service.probe()

        assert await service.dequeue() is None
        if "counts" in service.capabilities:
            assert await service.counts() == Counts()
