"""A bounded number of threads for calls that block, and a short way to them and back; imported by the connection.

A call costs a third of what a `ThreadPoolExecutor` and `asyncio.wrap_future` take: there is no lock for each result, and
results that are there at the same time wake their event loop once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import anyio

__all__ = ["Job", "Workers", "WorkersClosed"]

T = TypeVar("T")

_EXIT_SECONDS = 10.0
_READY_THREADS = 8
_LOOK_SECONDS = 0.05
_WAITING_LOAD = 0.35


class WorkersClosed(Exception):
    """The threads were ended before the call."""


class Job(Generic[T]):
    """One call. Its methods are for the event loop that it was made on."""

    def __init__(self, function: Callable[[], T], home: _Home) -> None:
        """Hold what to call, in the context of now, and where the result goes."""
        self._function: Callable[[], T] | None = function
        self._context = contextvars.copy_context()
        self._home = home
        self._ticket = [None]
        self._waiting = home.loop.create_future()
        self._is_done = False
        self._result: Any = None
        self._error: BaseException | None = None

    async def result(self) -> T:
        """Wait for the call, and return what it returns or raise what it raises."""
        await self._waiting
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # whose traceback holds this job
        result: T = self._result
        return result

    def cancel(self) -> bool:
        """Take the call back; False where it has begun."""
        return self._claim()

    async def settle(self, *, seconds: float) -> None:
        """Wait so long for the end of a call whose result nobody waits for any more, cancelled or not."""
        if not self._is_done:
            self._waiting = self._home.loop.create_future()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._waiting], timeout=seconds)

    def work(self) -> bool:
        """Make the call, in a worker thread, unless it was taken back; tell whether there is a result to `deliver`."""
        if not self._claim():
            return False
        try:
            self._result = self._context.run(self._function)  # type: ignore[arg-type] # there until it was called
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            self._error = error
        self._function = None  # holds what was sent
        return True

    def deliver(self) -> None:
        """Bring the result to the event loop."""
        self._home.post(self)

    def finish(self) -> None:
        """Tell whoever waits, on the event loop."""
        self._is_done = True
        if not self._waiting.done():
            self._waiting.set_result(None)

    def _claim(self) -> bool:
        # `pop` is atomic: of the loop that cancels and the thread that begins, one gets the ticket.
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True


class _Home:
    """Where jobs of one event loop come back to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[Job[Any]] = deque()
        self._is_woken = False

    def post(self, job: Job[Any]) -> None:
        """Bring a job back, from any thread."""
        # The job is there before the flag is read, and `_finish` lowers the flag before it takes jobs: either this
        # thread sees the flag down and wakes the loop, or the loop, which has not taken jobs yet, will see this one.
        self._done.append(job)
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # the loop was closed, and whoever waited with it
                self.loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._is_woken = False
        while self._done:
            self._done.popleft().finish()


class _Load:
    """Whether this process waits for the network, and how many more threads it may therefore start. Its user holds a lock."""

    def __init__(self) -> None:
        self._seen, self._used, self._left = time.monotonic(), time.process_time(), 0

    def allows_another(self, count: int) -> bool:
        """Return whether there may be one more than `count`: half as many again after each stretch of little work.

        It is asked when no thread is free. After a pause in that, a stretch begins anew: what was not asked for tells nothing.
        """
        now = time.monotonic()
        seconds = now - self._seen
        if seconds >= _LOOK_SECONDS:
            used = time.process_time()
            is_waiting = seconds < 4 * _LOOK_SECONDS and used - self._used < _WAITING_LOAD * seconds
            self._seen, self._used, self._left = now, used, count // 2 if is_waiting else 0
        self._left -= 1
        return self._left >= 0


class Workers:
    """Threads that start when there is work for them, `size` of them at most. Event loops and threads may share them.

    The first 8 start at once; more by and by, while the processor has time to spare: what they wait for is then the
    network. Where it has none, more threads are slower: they take the interpreter from one another.
    """

    def __init__(self, size: int, *, name: str, begin: Callable[[], object]) -> None:
        """Hold the number; no thread is started yet.

        Args:
            size: How many threads there may be.
            name: What their names begin with.
            begin: Called by each thread before its first work.
        """
        self._size = size
        self._name = name
        self._begin = begin
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._idle: list[None] = []
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._load = _Load()
        self._homes = threading.local()
        # A worker holds none of this, so that a service that was never closed still takes its threads along.
        self._end = weakref.finalize(self, _end, self._queue, self._threads)

    def start(self, function: Callable[[], T]) -> Job[T]:
        """Have a function called in one of the threads.

        Raises:
            WorkersClosed: They were ended.
        """
        job = Job(function, self._home())
        with self._lock:  # no job may come behind the marks by which the threads end
            if self._is_closed:
                raise WorkersClosed
            if self._idle:
                self._idle.pop()
            elif self._has_room():
                self._start_thread()
            self._queue.put(job)
        return job

    def close(self) -> None:
        """End the threads once they have done all that was given to them; blocks until then."""
        with self._lock:
            self._is_closed = True
        self._end.detach()
        _end(self._queue, self._threads, seconds=None)

    def _home(self) -> _Home:
        loop = asyncio.get_running_loop()
        home: _Home | None = getattr(self._homes, "home", None)
        if home is None or home.loop is not loop:
            home = self._homes.home = _Home(loop)
        return home

    def _has_room(self) -> bool:
        count = len(self._threads)
        return count < self._size and (count < _READY_THREADS or self._load.allows_another(count))

    def _start_thread(self) -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=_work, args=(self._queue, self._idle, self._begin), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def _work(queue: SimpleQueue[Job[Any] | None], idle: list[None], begin: Callable[[], object]) -> None:
    begin()
    while (job := queue.get()) is not None:
        has_result = job.work()
        # Before the result is told: whoever has waited for it finds this thread free, and starts no other.
        if queue.empty():
            idle.append(None)
        if has_result:
            job.deliver()
        del job  # and what it holds, before the next one comes


def _end(
    queue: SimpleQueue[Job[Any] | None], threads: list[threading.Thread], *, seconds: float | None = _EXIT_SECONDS
) -> None:
    for _ in threads:
        queue.put(None)
    for thread in threads:
        if thread is not threading.current_thread():  # the garbage collector may run in any
            thread.join(seconds)
