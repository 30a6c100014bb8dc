"""The queue's conformance suite, put together from its topics; imported by the tests of queue backends."""

from __future__ import annotations

import pytest

from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import Conformance
from indiaai_core.testing.queue.batch import BatchPromises
from indiaai_core.testing.queue.cancel import CancelPromises
from indiaai_core.testing.queue.close import ClosePromises
from indiaai_core.testing.queue.concurrency import ConcurrencyPromises, RestartPromises
from indiaai_core.testing.queue.counts import CountsPromises
from indiaai_core.testing.queue.dedupe import DedupePromises
from indiaai_core.testing.queue.delay import DelayPromises
from indiaai_core.testing.queue.dequeue import DequeuePromises
from indiaai_core.testing.queue.enqueue import EnqueuePromises
from indiaai_core.testing.queue.lease import LeasePromises
from indiaai_core.testing.queue.order import OrderPromises
from indiaai_core.testing.queue.renew import RenewPromises
from indiaai_core.testing.queue.retry import RetryPromises
from indiaai_core.testing.queue.sequence import SequencePromises
from indiaai_core.testing.queue.settle import SettlePromises
from indiaai_core.testing.queue.status import StatusPromises

__all__ = ["QueueConformance"]


class QueueConformance(
    EnqueuePromises,
    OrderPromises,
    DequeuePromises,
    LeasePromises,
    SettlePromises,
    RenewPromises,
    RetryPromises,
    DelayPromises,
    DedupePromises,
    StatusPromises,
    CancelPromises,
    CountsPromises,
    BatchPromises,
    ConcurrencyPromises,
    RestartPromises,
    ClosePromises,
    SequencePromises,
    Conformance,
):
    """Everything that a queue backend promises, as tests; a backend's author extends it in a pytest module.

    The subclass gives the async fixture `service`: an open service on an empty queue whose `lease_seconds` is short. Leases are
    waited out for real, so a lease of 0.5 s makes the suite take half a minute; one shorter than the pauses of the machine
    makes it fail. Where two services can share a store, it gives `second_service` as well.

        class TestAcmeQueue(QueueConformance):
            @pytest.fixture
            async def service(self):
                async with AcmeQueueService(AcmeSettings(lease_seconds=0.5)) as service:
                    yield service
    """

    @pytest.fixture
    def second_service(self) -> QueueService:
        """Skip what needs two services, unless the subclass gives a second one."""
        pytest.skip("the backend's test gives no `second_service`: what two services do to each other is not checked")
