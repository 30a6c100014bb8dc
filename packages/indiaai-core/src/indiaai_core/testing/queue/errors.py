"""Promises about calls that fail."""

from __future__ import annotations

import pickle

import pytest

from indiaai_core.errors import InvalidTask, QueueError, TaskNotFound
from indiaai_core.queue import Counts, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import drain

__all__ = ["ErrorPromises"]


class ErrorPromises:
    """A call that fails says why and leaves nothing behind."""

    @promise("Q171", "After calls that failed the service serves as before, and nothing of them is left.")
    async def test_service_serves_after_errors(self, service: QueueService) -> None:
        for _ in range(20):
            with pytest.raises(InvalidTask):
                await service.enqueue("process", {"a": object()})
            with pytest.raises(TaskNotFound):
                await service.get_status("no-such-task")
            with pytest.raises(InvalidTask):
                await service.update_status("no-such-task", "pending")
            with pytest.raises(InvalidTask):
                await service.dequeue_many(0)

        task_id = await service.enqueue("process", {"n": 1})

        assert [(task.id, task.data) for task in await drain(service)] == [(task_id, {"n": 1})]
        if "counts" in service.capabilities:
            assert await service.counts() == Counts()

    @promise("Q172", "An error crosses a process boundary whole, with its task's id.")
    async def test_error_can_be_pickled(self, service: QueueService) -> None:
        with pytest.raises(QueueError) as raised:
            await service.get_status("no-such-task")

        revived = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - what was pickled the moment before

        assert isinstance(revived, TaskNotFound)
        assert (str(revived), revived.__dict__) == (str(raised.value), raised.value.__dict__)
