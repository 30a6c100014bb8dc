"""A clock that the test sets by hand."""

from __future__ import annotations

__all__ = ["HandClock"]


class HandClock:
    """Stands still until it is set, and counts how often it is looked at."""

    def __init__(self) -> None:
        """Start at 0."""
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        """Return the time."""
        self.looks += 1
        return self.now
