"""Calls that are made at the same time, as one; imported by the link and the service."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

__all__ = ["BATCH", "Batcher", "Begin", "Receiver", "shares"]

BATCH = 1000
"""The most tasks that one script handles: about 5 ms, in which the server serves nobody else."""

BATCH_BYTES = 1_048_576
"""The most bytes that one script is given, unless a single call has more."""

Receiver = Callable[[Any], None]
"""Is called once, with the outcomes or with an exception that stands for all of them."""

Begin = Callable[[Sequence[Any], Receiver], None]
"""Begins one call of many loads; the outcome of each, an exception to be raised included, is received in their order."""


Load = TypeVar("Load")


def shares(loads: Sequence[Load], *, size: Callable[[Load], int]) -> Iterator[Sequence[Load]]:
    """Cut what is to be sent into the shares of one script each, in order: none has too many tasks or too many bytes."""
    first = total = 0
    for position, load in enumerate(loads):
        total += size(load)
        if position > first and (position - first >= BATCH or total > BATCH_BYTES):
            yield loads[first:position]
            first, total = position, size(load)
    if loads:
        yield loads[first:]


class Batcher:
    """The calls of one kind, of one event loop: what is asked for while a call is under way goes out with the next.

    A call that finds none under way goes out at the end of its turn of the loop, with others of that turn; or at once, if the
    one before went alone. Each caller gets its own outcome, and may be cancelled by itself.
    """

    def __init__(self, begin: Begin) -> None:
        """Hold what begins the calls."""
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], Any, int]] = deque()
        self._flights = 0
        self._is_due = False
        self._is_lone = True

    def join(self, load: Any, *, size: int = 0) -> asyncio.Future[Any]:
        """Take part in the next call.

        Args:
            load: What the call is given for this caller.
            size: How many bytes that is, about.

        Returns:
            What will have the outcome. Whoever waits for it may be cancelled.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((future, load, size))
        if not self._is_due and not self._flights:
            if self._is_lone:
                self.depart()
            else:
                self._is_due = True
                self._loop.call_soon(self.depart)
        return future

    def depart(self) -> None:
        """Send off those who wait, whether or not a call is under way."""
        self._is_due = False
        party: list[asyncio.Future[Any]] = []
        loads: list[Any] = []
        total = 0
        while self._waiting and len(party) < BATCH and (not party or total + self._waiting[0][2] <= BATCH_BYTES):
            future, load, size = self._waiting.popleft()
            if not future.done():  # cancelled meanwhile: it asks for nothing any more
                party.append(future)
                loads.append(load)
                total += size
        if party:
            self._is_lone = len(party) == 1
            self._flights += 1
            land = partial(self._land, party)
            try:
                self._begin(loads, land)
            except Exception as error:  # noqa: BLE001 - it is raised, where somebody waits for it
                land(error)

    def _land(self, party: list[asyncio.Future[Any]], outcomes: Any) -> None:
        self._flights -= 1
        if isinstance(outcomes, BaseException):
            outcomes = [outcomes, *(_twin(outcomes) for _ in party[1:])]
        for future, outcome in zip(party, outcomes, strict=True):
            if not future.done():
                if not isinstance(outcome, BaseException):
                    future.set_result(outcome)
                elif isinstance(outcome, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(outcome)
        # Those who go on in this turn of the loop, and ask for more, go out with those who have waited.
        if self._waiting and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.depart)


def _twin(error: BaseException) -> BaseException:
    """Return the same error for another caller: each adds its own way through the code to the one it gets."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin
