"""Promises about what is left when a service is gone; a closed one stands for a process that ended."""

from __future__ import annotations

from functools import partial

import anyio

from indiaai_core.errors import BackendUnavailable
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, drain, side_by_side, take

__all__ = ["RestartPromises"]


class RestartPromises:
    """What one service leaves to another on the same store."""

    @promise("Q95", "What one service has acknowledged is there when it is gone.")
    async def test_acknowledged_task_outlives_its_service(self, service: QueueService, second_service: QueueService) -> None:
        task_id = await service.enqueue("process", {"n": 1})
        await service.aclose()

        task = await take(second_service)

        assert (task.id, task.data) == (task_id, {"n": 1})

    @promise("Q96", "What a service that is gone had leased is delivered again when the lease has run out, and not before.")
    async def test_lease_of_a_service_that_is_gone_runs_out(
        self, service: QueueService, second_service: QueueService, elapse: Elapse
    ) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        await service.aclose()

        await elapse(0.75 * service.lease_seconds)
        early = await second_service.dequeue()
        await elapse(0.35 * service.lease_seconds)

        task = await take(second_service)
        assert early is None
        assert (task.id, task.attempt) == (task_id, 2)

    @promise("Q162", "All that a service that is gone had leased is delivered again, each task once.")
    async def test_all_leases_of_a_service_that_is_gone_run_out(
        self, service: QueueService, second_service: QueueService, elapse: Elapse
    ) -> None:
        ids = [await service.enqueue("process") for _ in range(12)]
        settled = await take(service)
        await service.update_status(settled, "completed")
        leased = [await take(service) for _ in range(8)]
        await service.aclose()

        await elapse(1.1 * service.lease_seconds)

        delivered = {task.id: task.attempt for task in await drain(second_service)}
        assert delivered == {task_id: 2 if task_id in {task.id for task in leased} else 1 for task_id in ids[1:]}

    @promise("Q163", "A call that waits gets what a service that is gone had leased, when the lease runs out.")
    async def test_waiting_call_gets_what_the_dead_had(
        self, service: QueueService, second_service: QueueService, elapse: Elapse
    ) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        await service.aclose()
        await elapse(service.lease_seconds - min(0.2, service.lease_seconds / 2))

        with anyio.fail_after(PATIENCE_SECONDS):
            task = await second_service.dequeue(timeout=4 * PATIENCE_SECONDS)

        assert task is not None
        assert (task.id, task.attempt) == (task_id, 2)

    @promise("Q164", "Results, errors and dedupe keys outlive the service through which they came.")
    async def test_what_is_known_outlives_its_service(self, service: QueueService, second_service: QueueService) -> None:
        completed_id, failed_id = [await service.enqueue("process") for _ in range(2)]
        tasks = {task.id: task for task in [await take(service) for _ in range(2)]}
        await service.update_status(tasks[completed_id], "completed", {"pages": 3})
        await service.update_status(tasks[failed_id], "failed", {"error": "broken", "traceback": "line 8"})
        await service.aclose()

        completed, failed = [await second_service.get_status(task_id) for task_id in (completed_id, failed_id)]

        assert (completed.state, completed.result) == (TaskState.COMPLETED, {"pages": 3})
        assert (failed.state, failed.error, failed.traceback) == (TaskState.FAILED, "broken", "line 8")

    @promise(
        "Q165",
        "A dead letter can be requeued through another service when the one that worked it is gone.",
        needs="dead_letters",
    )
    async def test_dead_letter_outlives_its_service(self, service: QueueService, second_service: QueueService) -> None:
        await service.dead_letters()
        task_id = await service.enqueue("process", {"n": 1})
        await service.update_status(await take(service), "failed", "broken")
        await service.aclose()

        letters = await second_service.dead_letters()

        assert [letter.id for letter in letters] == [task_id]
        assert await second_service.requeue(task_id)
        assert (await take(second_service)).data == {"n": 1}

    @promise(
        "Q166",
        "Closed while calls are under way, a service answers each: it is acknowledged and there, or BackendUnavailable.",
    )
    async def test_calls_under_way_are_answered(self, service: QueueService, second_service: QueueService) -> None:
        calls = [partial(service.enqueue, "process", {"n": n}) for n in range(20)]

        answers = await side_by_side(*calls[:10], service.aclose, *calls[10:])

        acknowledged = {answer for answer in answers if isinstance(answer, str)}
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        delivered = [task.id for task in await drain(second_service)]
        assert [type(error) for error in refused] == [BackendUnavailable] * len(refused)
        assert len(acknowledged) + len(refused) == 20
        assert acknowledged <= set(delivered)
        assert len(set(delivered)) == len(delivered)
