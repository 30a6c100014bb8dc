"""Fixtures of the tests of the backend `memory`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from indiaai_queue_memory import InMemoryQueueService, MemorySettings

sys.path.insert(0, str(Path(__file__).parent))  # for `hand_clock`, which several test modules share
from hand_clock import HandClock


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith(("MEMORY_QUEUE_", "QUEUE_")):
            monkeypatch.delenv(variable)


@pytest.fixture
def clock() -> HandClock:
    """Give a clock."""
    return HandClock()


@pytest.fixture
def service(clock: HandClock) -> InMemoryQueueService:
    """Give a queue on the clock, with little room."""
    settings = MemorySettings(
        lease_seconds=10, max_tasks=20, max_task_bytes=1000, keep_finished_seconds=60, keep_finished_tasks=5
    )
    return InMemoryQueueService(settings, clock=clock)
