"""When a failed request is made again; imported by the service and what it is made of."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from indiaai_core import BackendUnavailable

__all__ = ["RetryBudget", "RetryPolicy"]

T = TypeVar("T")


class RetryBudget:
    """How many second attempts all calls together make: some at once, then so many a second. Any thread may use it.

    A store that comes back is not met by everything that has failed meanwhile; what is over the budget waits for its turn.
    """

    def __init__(self, *, at_once: int = 100, per_second: float = 25) -> None:
        """Begin with all of it."""
        self._interval = 1 / per_second
        self._lead = at_once * self._interval
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take a turn, and return in how many seconds it comes."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._lead) + self._interval
            return max(self._next - now, 0.0)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Makes again what `BackendUnavailable` says may succeed: full jitter, exponential, within a deadline.

    Attributes:
        deadline_seconds: No attempt begins later than this after the first one.
        budget: What all policies of a process share.
        base_seconds: The longest wait before the second attempt; it doubles from one to the next.
        cap_seconds: The longest wait of all.
    """

    deadline_seconds: float
    budget: RetryBudget = field(default_factory=RetryBudget)
    base_seconds: float = 0.1
    cap_seconds: float = 5.0

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what the first attempt that succeeds returns.

        Raises:
            BackendUnavailable: The last attempt's, once the deadline is near.
        """
        deadline = time.monotonic() + self.deadline_seconds
        for number in count():
            try:
                return await attempt()
            except BackendUnavailable as error:
                wait = max((error.retry_after or 0.0) + self._jitter(number), self.budget.reserve())
                if time.monotonic() + wait >= deadline:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("count() has no end")

    def _jitter(self, number: int) -> float:
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(number, 16))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, keeps no secret
