"""Functions that worker threads call for tasks of an event loop, one by one or side by side; imported by the threads."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from copy import copy
from time import perf_counter
from typing import Any, Generic, TypeVar

from indiaai_storage_local.folders import Folder, sync

__all__ = ["Call", "Inbox", "Steps", "perform"]

ResultT = TypeVar("ResultT")

Steps = Generator[int | Folder, None, ResultT]
"""A function that yields the file (its descriptor) or the folder that is to be on the disk before it goes on; where the disk
does not take it, the OSError comes out of the `yield`."""


class Call(Generic[ResultT]):
    """A function that is called in a thread, for one task of one event loop.

    Attributes:
        future: Has the result, or what was raised, once the event loop knows of it.
        result: What the function returned.
        is_cancelled: Set: a function that was not called yet is not called any more.
        has_ended: Whether the event loop knows that nothing runs any more.
        inbox: Where the call is put when it is done.
        unsynced: What is to be synced before the function goes on.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], *, has_steps: bool, inbox: Inbox) -> None:
        """Take note of what to call, whether it is one of `Steps`, and where to put what comes of it."""
        self._function, self._args, self._has_steps, self.inbox = function, args, has_steps, inbox
        self.future: asyncio.Future[ResultT] = inbox.loop.create_future()
        self.result: Any = None
        self.is_cancelled = self.has_ended = False
        self.unsynced: int | Folder = -1
        self._steps: Any = None
        self._error: BaseException | None = None

    def go_on(self, fault: OSError | None = None) -> bool:
        """Call the function, or what is left of it, in a thread; return whether something is to be synced before the rest.

        Args:
            fault: Why what was to be synced is not.
        """
        try:
            if self._steps is None:
                if self.is_cancelled:
                    return False
                result = self._function(*self._args)
                if not self._has_steps:
                    self.result = result
                    return False
                self._steps = result
            self.unsynced = self._steps.throw(copy(fault)) if fault else next(self._steps)
        except StopIteration as end:
            self.result = end.value
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self._error = error
        else:
            return True
        return False

    @property
    def place(self) -> object:
        """What `unsynced` is on the disk: two descriptors may lead to one folder."""
        what = self.unsynced
        with suppress(OSError):  # a folder that cannot be told from others is synced by itself
            return what if isinstance(what, int) else what.identity
        return what

    def deliver(self) -> None:
        """Give the result to who waits for it, in the event loop."""
        self.has_ended = True
        if self.future.done():  # cancelled
            return
        if self._error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self._error)
            self._error = None  # it refers to this call's frame, and the call to it


class Inbox:
    """The calls that threads have done for one event loop and that it has not looked at yet.

    To wake a loop costs more than most calls (some 100 µs on two cores): so it is woken once for all that is done by then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop."""
        self.loop = loop
        self._done: deque[Call[Any]] = deque()
        self._is_told = False

    def put(self, calls: Iterable[Call[Any]]) -> None:
        """Have the loop deliver calls, from any thread."""
        # Put before the flag is read, and read after the flag is cleared: a call is never left without a wake-up. Two
        # threads that both find the flag cleared wake the loop twice, which does no harm.
        self._done.extend(calls)
        if not self._is_told:
            self._is_told = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_told = False
        while self._done:
            self._done.popleft().deliver()


def perform(calls: list[Call[Any]]) -> float:
    """Call functions in this thread, side by side, and let the event loops know.

    They go on in rounds, from one sync to the next: when each has come as far as it can, what they wait for is synced, a
    folder once for all that wait for it. A disk brings many files to safety in little more time than one.

    Returns:
        How many seconds the disk takes for one, by what went quickest; 0 for no calls.
    """
    pace = math.inf if calls else 0.0
    waiting = []
    for call in calls:
        began = perf_counter()
        if call.go_on():
            waiting.append(call)
        pace = min(pace, perf_counter() - began)
    while waiting:
        faults: dict[object, OSError | None] = {}
        quickest = math.inf
        for call in waiting:
            if call.place not in faults:
                began = perf_counter()
                faults[call.place] = _sync(call.unsynced)
                quickest = min(quickest, perf_counter() - began)
        pace = max(pace, quickest)
        waiting = [call for call in waiting if call.go_on(faults[call.place])]
    for inbox in {call.inbox for call in calls}:
        inbox.put([call for call in calls if call.inbox is inbox])
    return pace


def _sync(what: int | Folder) -> OSError | None:
    try:
        what.sync() if isinstance(what, Folder) else sync(what)
    except OSError as error:
        return error
    return None
