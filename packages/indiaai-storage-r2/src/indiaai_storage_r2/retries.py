"""When a failed request is made again; imported by the service and what it is made of."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from indiaai_core import BackendUnavailable

__all__ = ["RetryPolicy"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Makes again what `BackendUnavailable` says may succeed: full jitter, exponential, within a deadline.

    Attributes:
        deadline_seconds: No attempt begins later than this after the first one.
        base_seconds: The longest wait before the second attempt; it doubles from one to the next.
        cap_seconds: The longest wait of all.
    """

    deadline_seconds: float
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
                wait = (error.retry_after or 0.0) + self._jitter(number)
                if time.monotonic() + wait >= deadline:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("count() has no end")

    def _jitter(self, number: int) -> float:
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(number, 16))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, keeps no secret
