"""An event loop that does not wait: when nothing is to be run, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

__all__ = ["LoopClock", "VirtualTimeLoop"]


class _JumpingSelector(selectors.SelectSelector):
    """Asks for events without waiting, and lets the time that would have been waited pass at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready now."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("Nothing runs and nothing is scheduled: the test would wait for ever.")
        if not ready:
            self.now += timeout or 0
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; for tests without threads and without sockets."""

    def __init__(self) -> None:
        """Start at a second of its own."""
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self._jumping.now


class LoopClock:
    """The clock of the loop, for queues that look at no other."""

    async def advance(self, seconds: float) -> None:
        """Let the time pass, at once."""
        await asyncio.sleep(seconds)
