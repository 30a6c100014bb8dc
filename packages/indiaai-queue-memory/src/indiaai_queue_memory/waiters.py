"""Calls that wait for a task or for room, on any number of event loops; imported by the shared store and the service.

A wake-up carries no task: whoever is woken looks for one under the lock, and sleeps again if another was faster. So a call
that is cancelled, or whose time is over, never holds a task that would have to be brought back.
"""

from __future__ import annotations

import asyncio
from itertools import islice

__all__ = ["Waiter", "Waiters"]


class Waiter:
    """One waiting call; it lives on the event loop it was made on."""

    def __init__(self, owner: object, *, need: int = 1) -> None:
        """Note the running loop, the service object that waits, and how much room it waits for."""
        self.owner, self.need = owner, need
        self.loop = asyncio.get_running_loop()
        self.is_asleep = False
        self.alarm = float("inf")
        self._roused = self.loop.create_future()

    def lie_down(self, alarm: float) -> None:
        """Get ready to sleep; under the lock, so that no wake-up falls between looking for a task and sleeping.

        Args:
            alarm: When, on the store's clock, it will look by itself.
        """
        self._roused = self.loop.create_future()
        self.is_asleep, self.alarm = True, alarm

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken, for `seconds` at most."""
        timer = self.loop.call_later(seconds, self._rouse)
        try:
            await self._roused
        finally:
            timer.cancel()

    def wake(self) -> bool:
        """Wake it, from any thread; it may be awake already.

        Returns:
            False if its event loop was closed while it waited, and will run nothing any more.
        """
        if self.loop.is_closed():
            return False
        if not self.is_asleep:
            return True
        self.is_asleep = False
        if asyncio._get_running_loop() is self.loop:
            self._rouse()
            return True
        try:
            self.loop.call_soon_threadsafe(self._rouse)
        except RuntimeError:  # closed since the question above
            return False
        return True

    def _rouse(self) -> None:
        if not self._roused.done():
            self._roused.set_result(None)


class Waiters:
    """The waiting calls in the order they came. Every method is called under the lock of the shared store.

    Two things hold whenever the lock is free: of the calls that wait, at least as many are awake as tasks are ready; and
    the first is awake, or has an alarm no later than the next delay or lease ends. So no task lies while a call sleeps, and
    only one call wakes up when the clock alone has something to say.
    """

    def __init__(self) -> None:
        """Start with nobody."""
        self._waiting: dict[Waiter, None] = {}

    def __len__(self) -> int:
        """Count those who wait."""
        return len(self._waiting)

    def lie_down(self, waiter: Waiter, *, next_due: float) -> bool:
        """Let a call sleep, at its own place in the order.

        Returns:
            Whether it is the first, who must look again by itself at `next_due`.
        """
        self._waiting.setdefault(waiter)
        is_first = next(iter(self._waiting)) is waiter
        waiter.lie_down(next_due if is_first else float("inf"))
        return is_first

    def leave(self, waiter: Waiter) -> None:
        """Forget a call that waits no more. Whoever it was woken for is found by `notify`."""
        self._waiting.pop(waiter, None)

    def notify(self, ready: int, next_due: float) -> None:
        """Restore what must hold, after anything has changed.

        Args:
            ready: How many tasks are ready.
            next_due: When the next delay or lease ends, on the store's clock.
        """
        while lost := [waiter for waiter in islice(self._waiting, ready) if not waiter.wake()]:
            self._drop(lost)
        while (first := next(iter(self._waiting), None)) is not None and first.is_asleep and first.alarm > next_due:
            self._drop([] if first.wake() else [first])

    def admit(self, room: int) -> None:
        """Wake those who wait for room, in their order, as long as there is enough for the next."""
        for waiter in list(self._waiting):
            if waiter.need > room:
                return
            if waiter.wake():
                room -= waiter.need
            else:
                self.leave(waiter)

    def wake_all(self, owner: object) -> list[Waiter]:
        """Wake every call of one service object, and return them."""
        own = [waiter for waiter in self._waiting if waiter.owner is owner]
        self._drop([waiter for waiter in own if not waiter.wake()])
        return own

    def _drop(self, lost: list[Waiter]) -> None:
        for waiter in lost:
            self.leave(waiter)
