"""The store as threads and event loops share it, one in each process; imported by the service."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

from indiaai_queue_memory.settings import MemorySettings
from indiaai_queue_memory.store import Store
from indiaai_queue_memory.waiters import Waiters

__all__ = ["SharedStore", "StoreOfProcess"]


class SharedStore:
    """A store, its lock and those who wait for it. Leaving it wakes whom the change concerns.

    `async with` gives the store with all done that has come due; `with` only takes the lock. It is held for microseconds and
    never across an await.
    """

    def __init__(self, settings: MemorySettings, *, clock: Callable[[], float]) -> None:
        """Start with an empty store."""
        self.waiters, self.producers = Waiters(), Waiters()
        self.store = Store(settings, clock=clock)
        self._lock = threading.Lock()

    async def __aenter__(self) -> Store:
        """Take the lock when nothing more is due; where a lot is, others get their turn in between."""
        while True:
            self._lock.acquire()
            try:
                is_behind = self.store.advance()
            except BaseException:
                self._lock.release()
                raise
            if not is_behind:
                return self.store
            self.__exit__()
            await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        """Wake who may find something, and free the lock."""
        self.__exit__()

    def __enter__(self) -> None:
        """Take the lock."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Wake who may find something, and free the lock."""
        try:
            if len(self.waiters):
                self.waiters.notify(len(self.store.ready), self.store.next_due())
            if len(self.producers):
                self.producers.admit(self.store.room)
        finally:
            self._lock.release()


class StoreOfProcess:
    """The shared store of this process: made at first use, and anew in a process that was forked off.

    The child's copy of the parent's tasks is dropped: the parent works them, and working them twice would be wrong. The copied
    lock, which another thread may have held at the fork, is not touched.
    """

    def __init__(self, settings: MemorySettings, *, clock: Callable[[], float]) -> None:
        """Note what stores are made from."""
        self._settings = settings
        self._clock = clock
        self._by_process: dict[int, SharedStore] = {}

    def get(self) -> SharedStore:
        """Return the store of the process that asks."""
        process = os.getpid()
        shared = self._by_process.get(process)
        if shared is None:
            # setdefault is atomic: threads that ask at once get one store between them.
            shared = self._by_process.setdefault(process, SharedStore(self._settings, clock=self._clock))
            for other in [known for known in self._by_process if known != process]:
                self._by_process.pop(other, None)
        return shared
