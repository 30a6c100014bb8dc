"""Who works and who enqueues while things die, and the ledger of what was said and what ran; imported by the chaos tests."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from indiaai_core import BackendUnavailable, NewTask, TaskNotFound
from indiaai_core.queue import TaskState
from indiaai_queue_redis import RedisQueueService, RedisSettings

__all__ = [
    "DICE",
    "Crew",
    "Ledger",
    "Producer",
    "Run",
    "asked_rounds",
    "serve",
    "service_of",
    "unsettled",
    "wait_until_settled",
]

HERE = Path(__file__).parent
DRAIN_SECONDS = 60.0
DICE = random.Random()  # noqa: S311 - moments, not secrets


def asked_rounds(usual: int) -> int:
    """Return how many rounds a test does: its own number, or what CHAOS_ROUNDS says."""
    return int(os.environ.get("CHAOS_ROUNDS") or usual)


@dataclass(frozen=True)
class Run:
    """One run of a handler, as its process wrote it down."""

    process: int
    began: float
    ended: float | None


@dataclass
class Ledger:
    """What is known beside the queue: what `enqueue` acknowledged, what ran, and what died when.

    Attributes:
        path: The file that the workers append to.
        acknowledged: For each number the task's id, and when its `enqueue` returned.
        refused: How many calls raised, so that their tasks may or may not be queued.
        deaths: When each killed worker died.
    """

    path: Path
    acknowledged: dict[int, tuple[str, float]] = field(default_factory=dict)
    refused: int = 0
    deaths: dict[int, float] = field(default_factory=dict)

    def runs(self) -> Mapping[int, list[Run]]:
        """Return the runs of each number, in the order in which they began."""
        began: dict[tuple[int, int], list[float]] = defaultdict(list)
        ended: dict[tuple[int, int], list[float]] = defaultdict(list)
        for line in self.path.read_text("ascii").splitlines():
            number_text, what, process_text, when = line.split()
            (began if what == "begins" else ended)[int(number_text), int(process_text)].append(float(when))
        found: dict[int, list[Run]] = defaultdict(list)
        for (number, process), starts in began.items():
            ends = ended[number, process]
            found[number] += [Run(process, start, ends[i] if i < len(ends) else None) for i, start in enumerate(starts)]
        return {number: sorted(some, key=lambda run: run.began) for number, some in found.items()}

    def never_finished(self) -> set[int]:
        """Return the acknowledged numbers of which no run came to its end."""
        finished = {number for number, runs in self.runs().items() if any(run.ended for run in runs)}
        return self.acknowledged.keys() - finished

    def run_twice(self) -> Mapping[int, list[Run]]:
        """Return those that ran more than once."""
        return {number: runs for number, runs in self.runs().items() if len(runs) > 1}

    def blameless_repeats(self) -> Mapping[int, list[Run]]:
        """Return those that ran again although nobody died who had them."""
        return {n: runs for n, runs in self.run_twice().items() if any(run.process not in self.deaths for run in runs[:-1])}


class Producer:
    """Enqueues without end, one by one and in bulk, and writes down what was acknowledged."""

    def __init__(self, service: RedisQueueService, ledger: Ledger, *, pause_seconds: float = 0.02) -> None:
        """Hold where to; nothing is enqueued yet."""
        self._service = service
        self._ledger = ledger
        self._pause_seconds = pause_seconds
        self._number = 0

    async def run(self) -> None:
        """Enqueue until cancelled."""
        while True:
            await asyncio.gather(*(self._enqueue(size) for size in (1, 1, 1, DICE.randrange(2, 6))))
            await asyncio.sleep(DICE.uniform(0, 2 * self._pause_seconds))

    async def _enqueue(self, size: int) -> None:
        numbers = range(self._number, self._number + size)
        self._number += size
        try:
            if size == 1:
                ids = [await self._service.enqueue("chaos", {"number": numbers[0]})]
            else:
                ids = await self._service.enqueue_many([NewTask("chaos", {"number": number}) for number in numbers])
        except BackendUnavailable:
            self._ledger.refused += size
        else:
            now = time.monotonic()
            self._ledger.acknowledged |= {number: (name, now) for number, name in zip(numbers, ids, strict=True)}


class Crew:
    """The workers of a test."""

    def __init__(self, nursery: Process, ledger: Ledger) -> None:
        """Hold who makes them."""
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        self._orders, self._answers = nursery.stdin, BufferedByteReceiveStream(nursery.stdout)
        self._ledger = ledger
        self.alive: list[int] = []

    async def start(self, count: int = 1) -> None:
        """Start workers, within a few milliseconds each."""
        for _ in range(count):
            await self._orders.send(b"\n")
            self.alive.append(int(await self._answers.receive_until(b"\n", 20)))

    def kill(self, process: int | None = None) -> int:
        """Kill one of them, or any, as a lack of memory does, and return which."""
        victim = DICE.choice(self.alive) if process is None else process
        self.alive.remove(victim)
        self._ledger.deaths[victim] = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        return victim

    def end(self) -> None:
        """Kill them all, where the counting is done."""
        for process in self.alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@asynccontextmanager
async def serve(ledger: Ledger, settings: Mapping[str, Any], *, most_seconds: float = 0.01) -> AsyncIterator[Crew]:
    """Give a crew that works a queue, and end it with the block."""
    ledger.path.touch()
    arguments = [f"{ledger.path}", f"{most_seconds}", json.dumps(dict(settings))]
    log = ledger.path.with_suffix(".log").open("ab")
    with log:
        async with await anyio.open_process([sys.executable, f"{HERE / 'nursery.py'}", *arguments], stderr=log) as nursery:
            crew = Crew(nursery, ledger)
            try:
                yield crew
            finally:
                crew.end()
                nursery.kill()


def service_of(settings: Mapping[str, Any], **others: Any) -> RedisQueueService:
    """Make a service of settings and what differs from them."""
    return RedisQueueService(RedisSettings.model_validate({**settings, **others}))


async def wait_until_settled(service: RedisQueueService) -> None:
    """Wait until nothing is pending or leased.

    Raises:
        TimeoutError: Something still is after a minute.
    """
    with anyio.fail_after(DRAIN_SECONDS):
        while True:
            with suppress(BackendUnavailable):
                counts = await service.counts()
                if not counts.pending and not counts.processing:
                    return
            await anyio.sleep(0.05)


async def unsettled(service: RedisQueueService, ledger: Ledger, *, but: Iterable[int] = ()) -> dict[int, TaskState | None]:
    """Return the acknowledged tasks that the queue does not call completed, and what it calls them; None: it knows of none."""
    left_out = set(but)
    states = {
        number: await state_of(service, name) for number, (name, _) in ledger.acknowledged.items() if number not in left_out
    }
    return {number: state for number, state in states.items() if state is not TaskState.COMPLETED}


async def state_of(service: RedisQueueService, task_id: str) -> TaskState | None:
    """Return what the queue calls a task; None if it knows of none."""
    try:
        return (await service.get_status(task_id)).state
    except TaskNotFound:
        return None
