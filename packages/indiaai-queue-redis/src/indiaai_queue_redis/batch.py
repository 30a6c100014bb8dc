"""Calls that are made at the same time, as one; imported by the link and the service."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

__all__ = ["BATCH", "Batcher"]

BATCH = 1000
"""The most tasks that one script handles: about 5 ms, in which the server serves nobody else."""

BATCH_BYTES = 1_048_576
"""The most bytes that one script is given, unless a single call has more."""

Carry = Callable[[Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]
"""Makes one call of many loads; returns for each what its caller gets, an exception to be raised included."""


class Batcher:
    """The calls of one kind, of one event loop: what is asked for while a call is under way goes out with the next.

    A call that meets no other goes out at the end of its turn of the loop. Each caller gets its own answer, and may be
    cancelled by itself.
    """

    def __init__(self, carry: Carry) -> None:
        """Hold what makes the calls."""
        self._carry = carry
        self._waiting: deque[tuple[asyncio.Future[Any], Any, int]] = deque()
        self._flights: set[asyncio.Task[None]] = set()
        self._is_due = False

    async def join(self, load: Any, *, size: int = 0) -> Any:
        """Take part in the next call.

        Args:
            load: What `carry` is given for this caller.
            size: How many bytes that is, about.

        Raises:
            Exception: What the call came to, for this caller.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((future, load, size))
        if not self._is_due and not self._flights:
            self._is_due = True
            loop.call_soon(self.depart)
        return await future

    def depart(self) -> None:
        """Send off those who wait, whether or not a call is under way."""
        self._is_due = False
        party: list[tuple[asyncio.Future[Any], Any]] = []
        total = 0
        while self._waiting and len(party) < BATCH and (not party or total + self._waiting[0][2] <= BATCH_BYTES):
            future, load, size = self._waiting.popleft()
            if not future.done():  # cancelled meanwhile: it asks for nothing any more
                party.append((future, load))
                total += size
        if party:
            flight = asyncio.get_running_loop().create_task(self._fly(party))
            self._flights.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._waiting and not self._is_due:
            self.depart()

    async def _fly(self, party: list[tuple[asyncio.Future[Any], Any]]) -> None:
        outcomes: Sequence[Any]
        try:
            outcomes = await self._carry([load for _, load in party])
        except asyncio.CancelledError:
            for future, _ in party:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised, where somebody waits for it
            outcomes = [error, *(_twin(error) for _ in party[1:])]
        for (future, _), outcome in zip(party, outcomes, strict=True):
            if not future.done():
                (future.set_exception if isinstance(outcome, Exception) else future.set_result)(outcome)


def _twin(error: Exception) -> Exception:
    """Return the same error for another caller: each adds its own way through the code to the one it gets."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin
