"""The backend `memory` against the model of a queue, with the clock under the test's control."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from indiaai_core.testing.queue import ModelledQueue
from indiaai_queue_memory import InMemoryQueueService, MemorySettings

LEASE_SECONDS = 10.0

nth = st.integers(0, 30)
delays = st.sampled_from([0.0, 1.0, 4.0, 15.0])


class QueueMachine(RuleBasedStateMachine):
    """Several workers are several deliveries at a time, each settled when hypothesis likes."""

    def __init__(self) -> None:
        """Start with an empty queue at the time 0."""
        super().__init__()
        self.now = 0.0
        self.loop = asyncio.new_event_loop()
        service = InMemoryQueueService(
            MemorySettings(lease_seconds=LEASE_SECONDS, keep_finished_seconds=1e9), clock=lambda: self.now
        )
        self.queue = ModelledQueue(service, now=lambda: self.now)

    def run_call(self, call: Coroutine[Any, Any, None]) -> None:
        """Run one call to its end."""
        self.loop.run_until_complete(call)

    @rule(
        priority=st.integers(-1, 1),
        delay=delays,
        max_attempts=st.none() | st.integers(1, 3),
        dedupe_key=st.none() | st.sampled_from("ab"),
    )
    def enqueue(self, priority: int, delay: float, max_attempts: int | None, dedupe_key: str | None) -> None:
        """Enqueue a task."""
        self.run_call(self.queue.enqueue(priority=priority, delay=delay, max_attempts=max_attempts, dedupe_key=dedupe_key))

    @rule()
    def dequeue(self) -> None:
        """Lease a task."""
        self.run_call(self.queue.dequeue())

    @rule(nth=nth, status=st.sampled_from(["completed", "failed", "processing"]))
    def update(self, nth: int, status: str) -> None:
        """Settle or renew."""
        self.run_call(self.queue.update(nth=nth, status=status))

    @rule(nth=nth)
    def renew_after_a_while(self, nth: int) -> None:
        """Renew when much of the lease has passed, and look when the first one would have ended."""
        self.now += 0.7 * LEASE_SECONDS
        self.run_call(self.queue.update(nth=nth, status="processing"))
        self.now += 0.7 * LEASE_SECONDS

    @rule(nth=nth, delay=delays)
    def retry(self, nth: int, delay: float) -> None:
        """Retry a delivery."""
        self.run_call(self.queue.retry(nth=nth, delay=delay))

    @rule(nth=nth)
    def release(self, nth: int) -> None:
        """Release a delivery."""
        self.run_call(self.queue.release(nth=nth))

    @rule(nth=nth)
    def cancel(self, nth: int) -> None:
        """Cancel a task."""
        self.run_call(self.queue.cancel(nth=nth))

    @rule(nth=nth)
    def requeue(self, nth: int) -> None:
        """Requeue a task."""
        self.run_call(self.queue.requeue(nth=nth))

    @rule()
    def purge(self) -> None:
        """Purge the queue."""
        self.run_call(self.queue.purge())

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 10.0, 30.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Let delays end and leases run out."""
        self.now += seconds

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Hold every task's status against the model."""
        self.run_call(self.queue.compare())

    def teardown(self) -> None:
        """Close the service and the loop."""
        self.run_call(self.queue.service.aclose())
        self.loop.close()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
