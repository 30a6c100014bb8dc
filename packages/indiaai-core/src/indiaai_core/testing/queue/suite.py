"""The queue's conformance suite, put together from its topics; imported by the tests of queue backends."""

from __future__ import annotations

from typing import ClassVar

import anyio
import pytest

from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import Conformance
from indiaai_core.testing.queue.batch import BatchPromises
from indiaai_core.testing.queue.bound import BoundPromises
from indiaai_core.testing.queue.cancel import CancelPromises
from indiaai_core.testing.queue.clock import Clock, Elapse
from indiaai_core.testing.queue.close import ClosePromises
from indiaai_core.testing.queue.complete import CompletePromises
from indiaai_core.testing.queue.concurrency import ConcurrencyPromises
from indiaai_core.testing.queue.counts import CountsPromises
from indiaai_core.testing.queue.dead import DeadLetterPromises
from indiaai_core.testing.queue.dedupe import DedupePromises
from indiaai_core.testing.queue.delay import DelayPromises
from indiaai_core.testing.queue.dequeue import DequeuePromises
from indiaai_core.testing.queue.enqueue import EnqueuePromises
from indiaai_core.testing.queue.errors import ErrorPromises
from indiaai_core.testing.queue.lease import LeasePromises
from indiaai_core.testing.queue.order import OrderPromises
from indiaai_core.testing.queue.renew import RenewPromises
from indiaai_core.testing.queue.restart import RestartPromises
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
    CompletePromises,
    RenewPromises,
    RetryPromises,
    DeadLetterPromises,
    DelayPromises,
    DedupePromises,
    StatusPromises,
    CancelPromises,
    CountsPromises,
    BatchPromises,
    BoundPromises,
    ConcurrencyPromises,
    RestartPromises,
    ErrorPromises,
    ClosePromises,
    SequencePromises,
    Conformance,
):
    """Everything that a queue backend promises, as tests; a backend's author extends it in a pytest module.

    The subclass gives the async fixture `service`: an open service on an empty queue.

        class TestAcmeQueue(QueueConformance):
            @pytest.fixture
            async def service(self):
                async with AcmeQueueService(AcmeSettings(lease_seconds=0.5)) as service:
                    yield service

    Three more fixtures widen what is tested:

    - `second_service`: another service on the same store, for what two processes do to each other.
    - `bounded_service`: an open service on an empty queue that holds five tasks and then raises `QueueFull` at once.
    - `clock`: a `Clock`, the store's own, on which `service` and `second_service` then are: leases and delays end by its
      `advance`. Give the services a lease of 30 s then. Without it the suite waits for real, so a lease of 0.5 s makes it take
      a minute or two, and one that is shorter than the pauses of the machine makes it fail.

    A store that spreads a queue over several parts, and keeps the order within each only, says `traits = frozenset()`.
    Pytest's report lists at its end what was not tried.

    Attributes:
        traits: `order`: the order of delivery holds over the whole queue.
    """

    optional_fixtures: ClassVar[tuple[str, ...]] = ("clock",)
    traits: ClassVar[frozenset[str]] = frozenset({"order"})

    @pytest.fixture
    def second_service(self) -> QueueService:
        """Skip what needs two services, unless the subclass gives a second one."""
        pytest.skip("the backend's test gives no `second_service`: what two services do to each other is not checked")

    @pytest.fixture
    def bounded_service(self) -> QueueService:
        """Skip what needs a full queue, unless the subclass gives one."""
        pytest.skip("the backend's test gives no `bounded_service`: what a full queue does is not checked")

    @pytest.fixture
    def clock(self) -> Clock | None:
        """Where the author gives no clock, the suite waits."""
        return None

    @pytest.fixture
    def elapse(self, clock: Clock | None) -> Elapse:
        """Let time pass, by the store's clock where it is in the test's hands."""
        return anyio.sleep if clock is None else clock.advance

    @pytest.fixture
    def workers(self, request: pytest.FixtureRequest, service: QueueService) -> list[QueueService]:
        """Give all services that there are on the store."""
        try:
            return [service, request.getfixturevalue("second_service")]
        except pytest.skip.Exception:
            return [service]
