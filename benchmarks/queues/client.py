"""What a contender is to the benchmark: a client that enqueues, and the command that starts one of its workers.

Imported by the contenders' modules, in their own environments: standard library, and uvloop where it is installed.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

__all__ = ["BATCH", "BlockingClient", "Client", "Row", "concurrency", "install_uvloop", "port", "script", "url"]

BATCH = 100
THREADS = 8

Row = tuple[int, str]


def url() -> str:
    """Return the address of the server of this run."""
    return os.environ["BENCH_QUEUE_URL"]


def port() -> int:
    """Return the port of the server of this run."""
    return int(url().rpartition(":")[2].partition("/")[0])


def concurrency() -> int:
    """Return how many tasks a worker is to work at once."""
    return int(os.environ.get("BENCH_QUEUE_CONCURRENCY", "100"))


def script(name: str) -> str:
    """Return a program of this environment."""
    return str(Path(sys.executable).parent / name)


def install_uvloop() -> None:
    """Let event loops be uvloop's from here on, where it is installed."""
    with suppress(ImportError):
        importlib.import_module("uvloop").install()


class Client(ABC):
    """A contender's producer.

    Attributes:
        at_once: How many tasks a worker works at once where handlers do nothing: what suits the contender best.
        at_once_waiting: The same where each waits for a millisecond.
        tasks: How many tasks a worker is given to drain.
        polls_seconds: How long an idle worker may sleep between looks; 0 where it waits on the server.
        store: Where tasks lie.
    """

    at_once: ClassVar[int] = 100
    at_once_waiting: ClassVar[int] = 100
    tasks: ClassVar[int] = 5_000
    polls_seconds: ClassVar[float] = 0.0
    store: ClassVar[str] = "redis"

    async def open(self) -> None:
        """Connect."""
        return

    async def close(self) -> None:
        """Disconnect."""
        return

    @abstractmethod
    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue one task, `noop` or `wait`."""

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue a hundred tasks by the call that is meant for many."""
        raise NotImplementedError

    async def enqueue_together(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue a hundred tasks side by side."""
        return await asyncio.gather(*(self.enqueue(task, *row) for row in rows))

    @abstractmethod
    def worker(self, at_once: int) -> list[str]:
        """Return the command that starts a worker of so many tasks at once; the environment tells it as well."""


class BlockingClient(Client):
    """A contender whose client blocks: side by side means in eight threads."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._threads = ThreadPoolExecutor(THREADS)

    @abstractmethod
    def send(self, task: str, number: int, text: str) -> object:
        """Enqueue one task."""

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue one task, and let nobody else run meanwhile, as such a client does."""
        return self.send(task, number, text)

    async def enqueue_together(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue a hundred tasks from eight threads."""

        def send_some(some: Iterable[Row]) -> None:
            for row in some:
                self.send(task, *row)

        return list(self._threads.map(send_some, (rows[first::THREADS] for first in range(THREADS))))
