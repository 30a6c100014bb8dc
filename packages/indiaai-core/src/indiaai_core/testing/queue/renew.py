"""Promises about renewing a lease and reporting progress."""

from __future__ import annotations

import anyio

from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import lapse, take

__all__ = ["RenewPromises"]


class RenewPromises:
    """What `processing` does."""

    @promise("Q36", "A lease that is renewed in time goes on for as long as it is.")
    async def test_renewed_lease_goes_on(self, service: QueueService) -> None:
        await service.enqueue("process")
        task = await take(service)

        for _ in range(10):
            await anyio.sleep(service.lease_seconds / 4)
            assert await service.update_status(task, "processing")
            assert await service.dequeue() is None

        assert await service.update_status(task, "completed")

    @promise("Q37", "A lease that is renewed no more runs out, and the task is delivered again.")
    async def test_lease_runs_out_after_the_last_renewal(self, service: QueueService) -> None:
        await service.enqueue("process")
        task = await take(service)
        await service.update_status(task, "processing")

        again = await lapse(service)

        assert (again.id, again.attempt) == (task.id, 2)

    @promise("Q38", "Progress is kept in the status; a renewal without any leaves the last.")
    async def test_progress_is_kept(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        await service.update_status(task, "processing", {"done": 1, "of": 2})
        await service.update_status(task, "processing")

        status = await service.get_status(task_id)
        assert (status.state, status.progress) == (TaskState.PROCESSING, {"done": 1, "of": 2})
