"""The conformance suite against a queue that is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from plain_queue import PlainQueue
from virtual_time import VirtualTimeLoop

from indiaai_core import NewTask, QueueService, Task, TaskState, TaskStatus
from indiaai_core.testing.promises import list_promises, promise
from indiaai_core.testing.queue import QueueConformance

Backend = tuple[str, dict[str, Any]]


class TestPlainQueue(QueueConformance):
    """A queue that does all of the contract passes."""

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> Backend:
        """Run on virtual time."""
        return "asyncio", {"loop_factory": VirtualTimeLoop}

    @pytest.fixture
    def service(self) -> PlainQueue:
        """Give a queue."""
        return PlainQueue()

    @pytest.fixture
    def second_service(self, service: PlainQueue) -> PlainQueue:
        """Give another on the same shelf."""
        return PlainQueue(service.shelf)
