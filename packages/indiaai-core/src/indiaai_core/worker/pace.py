"""How fast a run works, and how many tasks it may lease ahead of need; imported by the worker's intake."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]

AHEAD_SECONDS = 0.05
"""How much work may wait in the worker for a slot: longer than a round trip to the queue, shorter than anybody notices."""

MOST_AHEAD = 500
"""The most tasks that are leased ahead of need: at 30,000 a second, 17 ms of work."""

WINDOW_SECONDS = 0.5
"""The rate is that of this window and the one before it: long enough that slots that end together are not taken for speed."""

SHORTEST_SECONDS = 0.1
"""The least time that a rate is taken from: one quick task makes no pace."""


class Pace:
    """Counts what was worked, and says how many tasks that makes in `AHEAD_SECONDS`.

    The faster tasks are worked, the more are leased ahead, and none at all below 20 a second: what waits here would wait for
    as long as a handler takes, while another worker may be idle.

    Attributes:
        worked: Handlers that ended in this window.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing worked."""
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Count from now: work begins after a time without any, which says nothing about its pace."""
        self.worked = 0
        self._since = self._clock()
        self._before = 0
        self._before_seconds = 0.0

    def ahead(self) -> int:
        """Return how many tasks may wait for a slot."""
        elapsed = self._clock() - self._since
        if elapsed >= WINDOW_SECONDS:
            self._before, self._before_seconds = self.worked, elapsed
            self.worked = 0
            self._since += elapsed
            elapsed = 0.0
        rate = (self._before + self.worked) / max(SHORTEST_SECONDS, self._before_seconds + elapsed)
        return min(MOST_AHEAD, int(rate * AHEAD_SECONDS))
