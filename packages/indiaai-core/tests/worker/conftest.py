"""Fixtures of the worker's tests: a queue in memory, and a worker that does not wait between attempts."""

from __future__ import annotations

import pytest

from indiaai_core.worker import Backoff, Worker
from worker_fakes import FakeQueue


@pytest.fixture
async def queue() -> FakeQueue:
    """Give an empty queue."""
    return FakeQueue()


@pytest.fixture
def worker() -> Worker:
    """Give a worker without handlers, whose failed tasks are due again at once."""
    return Worker(backoff=Backoff(base_seconds=0, cap_seconds=0))
