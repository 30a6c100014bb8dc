"""How long a task waits after a failed attempt; imported by applications that choose other times, and by the worker."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from indiaai_core.queue import MAX_DELAY_SECONDS

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: before attempt n+1, anything from 0 to `base * 2 ** (n - 1)` seconds.

    The whole span is drawn from, so that a thousand tasks that failed together do not come back together.

    Attributes:
        base_seconds: The longest wait after the first attempt.
        cap_seconds: The longest wait after any.
        jitter: Draws a number between two others; a test puts in what it wants drawn.

    Raises:
        ValueError: The times are not 0 <= base <= cap <= 366 days.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 3600.0
    jitter: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        """Check the times."""
        if not 0 <= self.base_seconds <= self.cap_seconds <= MAX_DELAY_SECONDS:
            raise ValueError(
                f"Backoff(base_seconds={self.base_seconds!r}, cap_seconds={self.cap_seconds!r}): "
                f"expected 0 <= base <= cap <= {MAX_DELAY_SECONDS}."
            )

    def delay_seconds(self, attempt: int) -> float:
        """Draw the wait after an attempt.

        Args:
            attempt: The attempt that failed, 1 for the first.
        """
        # From the 64th doubling on any base is over any cap, and 2.0 ** 1024 would overflow.
        return self.jitter(0.0, min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64)))
