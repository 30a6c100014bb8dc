"""The plugin's own tests, as its author runs them: `pytest --pyargs acme_trunk.conformance`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme_trunk.queue import TrunkQueueService, TrunkQueueSettings
from acme_trunk.storage import TrunkSettings, TrunkStorageService
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.queue import QueueConformance, SkippingClock

__all__ = ["TestTrunkQueue", "TestTrunkStorage"]


class TestTrunkStorage(StorageConformance):
    """Every promise of the storage layer."""

    @pytest.fixture
    async def service(self, tmp_path: Path) -> AsyncIterator[TrunkStorageService]:
        """Open a service on an empty folder."""
        async with TrunkStorageService(TrunkSettings(path=tmp_path)) as service:
            yield service

    @pytest.fixture
    async def second_service(self, tmp_path: Path) -> AsyncIterator[TrunkStorageService]:
        """Open another one on the same folder."""
        async with TrunkStorageService(TrunkSettings(path=tmp_path)) as service:
            yield service


class TestTrunkQueue(QueueConformance):
    """Every promise of the queue layer."""

    @pytest.fixture
    def clock(self) -> SkippingClock:
        """Give the clock of the queue, which the suite lets skip ahead."""
        return SkippingClock()

    @pytest.fixture
    async def service(self, clock: SkippingClock) -> AsyncIterator[TrunkQueueService]:
        """Open a queue."""
        async with TrunkQueueService(TrunkQueueSettings(lease_seconds=30), clock=clock) as service:
            yield service
