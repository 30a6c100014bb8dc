"""The store's clock in a test's hands, so that leases and delays end without waiting; imported by backends' tests."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["Clock", "Elapse", "SkippingClock"]

Elapse = Callable[[float], Awaitable[None]]
"""Lets so many seconds pass: by the store's clock where the test has it in its hands, else by waiting."""


class Clock(Protocol):
    """The store's clock: it runs on by itself, and skips ahead when it is told to. It never goes back."""

    async def advance(self, seconds: float) -> None:
        """Let the store's clock show so much more, for every service on it, from the next call on."""


class SkippingClock:
    """The clock for a store in this process, which calls it to know the time in seconds."""

    def __init__(self) -> None:
        """Start with the process's own clock."""
        self._skipped = 0.0

    def __call__(self) -> float:
        """Return the time; it never goes back."""
        return time.monotonic() + self._skipped

    async def advance(self, seconds: float) -> None:
        """Skip ahead."""
        self._skipped += seconds
