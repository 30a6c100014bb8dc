"""Deliveries that wait because their handlers may not begin so often; imported by the worker's intake."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from indiaai_core.worker.rate import RateLimit
from indiaai_core.worker.source import Delivery

__all__ = ["Throttle"]

LENIENCE_SECONDS = 0.02
"""How late a begin may be without putting off those after it: timers and slots come a little late."""


class _Line:
    """The deliveries of one task name that wait for its limit, in the order they came."""

    __slots__ = ("deliveries", "interval", "opens_at")

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.opens_at = float("-inf")
        self.deliveries: deque[Delivery] = deque()

    def pass_one(self, now: float) -> bool:
        """Let one begin, if it is time."""
        if now < self.opens_at:
            return False
        is_late = now - self.opens_at > LENIENCE_SECONDS
        self.opens_at = (now if is_late else self.opens_at) + self.interval
        return True


class Throttle:
    """Keeps the rate limits of one run of a worker, and the deliveries that are over them."""

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        """Hold the limits, by task name."""
        self._lines = {name: _Line(limit.interval_seconds) for name, limit in limits.items()}
        self._held = 0

    def may_begin(self, delivery: Delivery, now: float) -> bool:
        """Return whether a delivery may begin now, which it then must.

        Args:
            delivery: The delivery.
            now: The time of the event loop's clock.
        """
        line = self._lines.get(delivery.task.name)
        # Nobody overtakes: what came sooner begins sooner.
        return line is None or (not line.deliveries and line.pass_one(now))

    def hold(self, delivery: Delivery) -> None:
        """Have a delivery wait that may not begin now."""
        self._lines[delivery.task.name].deliveries.append(delivery)
        delivery.source.held += 1
        self._held += 1

    def next_ready(self, now: float) -> Delivery | None:
        """Take out a delivery that may begin now, if there is one."""
        if not self._held:
            return None
        for line in self._waiting():
            if line.pass_one(now):
                return self._take(line)
        return None

    def opens_at(self) -> float | None:
        """Return when the next delivery that waits may begin; None if none waits."""
        return min((line.opens_at for line in self._waiting()), default=None)

    def empty(self) -> list[Delivery]:
        """Take out all that wait."""
        return [self._take(line) for line in self._waiting() for _ in range(len(line.deliveries))]

    def _waiting(self) -> Iterator[_Line]:
        return (line for line in self._lines.values() if line.deliveries)

    def _take(self, line: _Line) -> Delivery:
        self._held -= 1
        delivery = line.deliveries.popleft()
        delivery.source.held -= 1
        return delivery
