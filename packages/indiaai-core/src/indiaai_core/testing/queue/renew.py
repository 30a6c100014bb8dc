"""Promises about renewing a lease and reporting progress."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.queue import MAX_TASK_BYTES, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import give_back, take

__all__ = ["RenewPromises"]


class RenewPromises:
    """What `processing` does."""

    @promise("Q36", "A lease that is renewed in time goes on for as long as it is.")
    async def test_renewed_lease_goes_on(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue("process")
        task = await take(service)

        for _ in range(4):
            await elapse(0.7 * service.lease_seconds)
            assert await service.update_status(task, "processing")
            assert await service.dequeue() is None

        assert await service.update_status(task, "completed")

    @promise("Q37", "A lease runs out `lease_seconds` after its last renewal, however often it was renewed.")
    async def test_lease_runs_out_after_the_last_renewal(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue("process")
        task = await take(service)
        for _ in range(3):
            await service.update_status(task, "processing")

        await elapse(0.75 * service.lease_seconds)
        early = await service.dequeue()
        await elapse(0.35 * service.lease_seconds)

        again = await take(service)
        assert early is None
        assert (again.id, again.attempt) == (task.id, 2)

    @promise("Q38", "Progress is kept in the status; a renewal without any leaves the last.")
    async def test_progress_is_kept(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        await service.update_status(task, "processing", {"done": 1, "of": 2})
        await service.update_status(task, "processing")

        status = await service.get_status(task_id)
        assert (status.state, status.progress) == (TaskState.PROCESSING, {"done": 1, "of": 2})

    @promise("Q115", "Progress may be any JSON value of up to 256 KiB, one that counts as false included.")
    @pytest.mark.parametrize("progress", [0, False, "", [], {}, "पृष्ठ १", 0.5, "x" * (MAX_TASK_BYTES - 2)], ids=range(8))
    async def test_progress_is_any_json_value(self, service: QueueService, progress: Any) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.update_status(task, "processing", "before")

        await service.update_status(task, "processing", progress)

        found = (await service.get_status(task_id)).progress
        assert found == progress
        assert type(found) is type(progress)

    @promise("Q116", "Progress outlives the attempt that reported it: the next one, and whoever asks, still sees it.")
    @pytest.mark.parametrize("how", ["retry", "release", "lapse"])
    async def test_progress_outlives_its_attempt(self, service: QueueService, elapse: Elapse, how: str) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.update_status(task, "processing", {"page": 3})

        await give_back(service, task, how=how, elapse=elapse)
        again = await take(service)

        during = await service.get_status(task_id)
        await service.update_status(again, "completed")
        assert during.progress == {"page": 3}
        assert (await service.get_status(task_id)).progress == {"page": 3}
