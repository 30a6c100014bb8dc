"""The conformance suite against a queue that is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from plain_queue import PlainQueue, Shelf
from virtual_time import LoopClock, VirtualTimeLoop

from indiaai_core import NewTask, QueueService, Task, TaskState, TaskStatus, Unsupported
from indiaai_core.testing.queue import QueueConformance

Backend = tuple[str, dict[str, Any]]


class SmallestQueue(QueueService):
    """A backend of the four abstract methods: it declares nothing, and refuses what it does not declare."""

    lease_seconds = 1.0

    def __init__(self) -> None:
        """Stand on a plain queue."""
        self.plain = PlainQueue()

    async def enqueue(
        self,
        task_name: str,
        task_data: Mapping[str, Any] | None = None,
        *,
        delay: float = 0,
        priority: int = 0,
        max_attempts: int | None = None,
        dedupe_key: str | None = None,
    ) -> str:
        """Put a task into the queue."""
        data = {} if task_data is None else task_data
        task = NewTask(task_name, data, delay, priority, max_attempts, dedupe_key)
        for name, is_asked in (("delay", delay), ("priority", priority), ("dedupe", dedupe_key is not None)):
            if is_asked:
                raise Unsupported(type(self).__name__, name)
        return await self.plain.enqueue(task.name, task.data, max_attempts=max_attempts)

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease a task."""
        return await self.plain.dequeue(timeout)

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return a task's status."""
        return await self.plain.get_status(task_id)

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew."""
        return await self.plain.update_status(task_id, status, data)

    async def check(self) -> None:
        """Prove that it is open."""
        await self.plain.check()

    async def aclose(self) -> None:
        """Close."""
        await self.plain.aclose()


class TestPlainQueue(QueueConformance):
    """A queue that does all of the contract passes."""

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> Backend:
        """Run on virtual time."""
        return "asyncio", {"loop_factory": VirtualTimeLoop}

    @pytest.fixture
    def clock(self) -> LoopClock:
        """Give the loop's clock, which is the queue's."""
        return LoopClock()

    @pytest.fixture
    def service(self) -> PlainQueue:
        """Give a queue."""
        return PlainQueue()

    @pytest.fixture
    def bounded_service(self) -> PlainQueue:
        """Give a queue that holds five tasks."""
        return PlainQueue(Shelf(room=5))

    @pytest.fixture
    def second_service(self, service: PlainQueue) -> PlainQueue:
        """Give another on the same shelf."""
        return PlainQueue(service.shelf)


class TestSmallestQueue(QueueConformance):
    """Four methods are a whole backend: the rest works by its defaults, or is refused."""

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> Backend:
        """Run on virtual time."""
        return "asyncio", {"loop_factory": VirtualTimeLoop}

    @pytest.fixture
    def service(self) -> SmallestQueue:
        """Give a queue."""
        return SmallestQueue()


class PatientQueue(SmallestQueue):
    """A backend that lets tasks wait and be retried, and has no way to be rid of those that wait."""

    capabilities = frozenset({"delay", "retry"})

    async def enqueue(self, task_name: str, task_data: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Put a task into the queue."""
        delay = options.pop("delay", 0)
        task = NewTask(task_name, {} if task_data is None else task_data, delay, **options)
        if not delay:
            return await super().enqueue(task_name, task_data, **options)
        for name in (name for name in ("priority", "dedupe_key") if options.get(name)):
            raise Unsupported(type(self).__name__, name.removesuffix("_key"))
        return await self.plain.enqueue(task.name, task.data, delay=delay, max_attempts=task.max_attempts)

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Try a task again."""
        return await self.plain.retry(task, delay, error, traceback=traceback)


class TestPatientQueue(QueueConformance):
    """What waits when one sequence of calls ends does not come to the next."""

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> Backend:
        """Run on virtual time."""
        return "asyncio", {"loop_factory": VirtualTimeLoop}

    @pytest.fixture
    def clock(self) -> LoopClock:
        """Give the loop's clock, which is the queue's."""
        return LoopClock()

    @pytest.fixture
    def service(self) -> PatientQueue:
        """Give a queue."""
        return PatientQueue()
