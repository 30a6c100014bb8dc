"""One queue as a run works it, and the deliveries that came from it; imported by the worker's run and its intake."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import anyio

from indiaai_core.queue import QueueService, Task
from indiaai_core.worker.leases import Lease, LeaseKeeper
from indiaai_core.worker.outage import Outage
from indiaai_core.worker.settlement import Settlement

__all__ = ["Delivery", "Source"]

LONGEST_WAIT_SECONDS = 10.0
"""How long one call waits for tasks: an idle worker asks this often, and no oftener."""


class Source:
    """One queue of a run, with what is leased of it and not begun.

    Attributes:
        service: The queue.
        name: The named instance it is; None for the main one.
        weight: Its share of the slots while other queues have tasks too.
        turn: Where it stands in the order of turns: the queue with the lowest one begins the next task.
        outage: Whether it answers.
        keeper: Renews its leases.
        settlement: Settles its deliveries.
        stock: Deliveries that wait for a slot.
        held: How many deliveries wait for their rate limit.
        asked: How many tasks it is being asked for now, in a call that does not wait.
        asked_at: When the latest call began, on the event loop's clock.
        call: Stands around the latest call that asks it.
        is_dry: Whether its last answer brought less than was asked for, so that the next call waits.
        has_room: Set when there may be a reason to ask it.
    """

    def __init__(self, service: QueueService, *, name: str | None = None, weight: int = 1) -> None:
        """Begin with a queue that was never asked."""
        self.service = service
        self.name = name
        self.weight = weight
        self.turn = 0.0
        self.outage = Outage(name)
        self.keeper = LeaseKeeper(service, self.outage)
        self.settlement = Settlement(service, self.outage)
        self.stock: deque[Delivery] = deque()
        self.held = 0
        self.asked = 0
        self.asked_at = 0.0
        self.call = anyio.CancelScope()
        self.is_dry = True
        self.has_room = asyncio.Event()

    @property
    def wait_seconds(self) -> float:
        """How long one call may wait: never so long that the lease of what it brings is nearly over."""
        return min(LONGEST_WAIT_SECONDS, self.service.lease_seconds / 3)

    @property
    def can_give_back(self) -> bool:
        """Whether what was leased ahead of need can be given back uncounted.

        A backend of the four abstract methods alone cannot; what others do is all or nothing here.
        """
        return "retry" in self.service.capabilities

    def describe(self, *, with_weight: bool) -> str:
        """Name the queue for the log."""
        backend = type(self.service).__name__
        name = backend if self.name is None else f"{backend} {self.name!r}"
        return f"{name} with weight {self.weight}" if with_weight else name


class Delivery(Lease):
    """A delivery from one of the run's queues, from its answer until it is settled.

    Attributes:
        source: The queue.
        arrived_at: When it was here, on the event loop's clock.
        runner: The asyncio task that works and settles it; None before.
        has_slot: Whether it takes one of the worker's slots.
    """

    __slots__ = ("arrived_at", "has_slot", "runner", "source")

    def __init__(self, task: Task, source: Source, *, asked_at: float | None = None, now: float | None = None) -> None:
        """Begin the lease; see there."""
        super().__init__(task, source.service.lease_seconds, asked_at=asked_at, now=now)
        self.source = source
        self.arrived_at = self.renews_at - self.seconds / 3
        self.runner: asyncio.Task[Any] | None = None
        self.has_slot = False
