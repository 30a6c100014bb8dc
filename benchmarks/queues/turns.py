"""One contender's turn at each thing that is measured: on an empty server, with processes that end with the turn.

Imported by `queue_redis`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from queues.contenders import CONTENDERS, NotInstallable
from queues.processes import Workers, running_workers
from queues.record import VARIABLE, Record
from queues.server import RedisServer, count_commands
from storage.rounds import Worker, WorkerFailed

__all__ = ["Figures", "Table", "Turns"]

Figures = dict[str, float]

SMALL_BYTES, LARGE_BYTES = 100, 1000
LOOK_SECONDS = 0.02
START_SECONDS = 20.0
DRAIN_SECONDS = 40.0
TRACED = 1_000
LARGEST = 20_000


@dataclass(frozen=True)
class Table:
    """What all turns share.

    Attributes:
        script: The benchmark's script, which is the producer as well.
        folder: Where records and logs lie.
        server: The Redis that all meet.
        postgresql: How to reach the PostgreSQL; nothing where there is none.
        is_quick: Whether fewer tasks are to do; those contenders that drain fastest always drain all of theirs.
    """

    script: str
    folder: Path
    server: RedisServer
    postgresql: str = ""
    is_quick: bool = False


class Turns:
    """A contender's turns."""

    def __init__(self, name: str, table: Table) -> None:
        """Take the contender's place."""
        self.name = name
        self.contender = CONTENDERS[name]
        self.table = table
        self.record = table.folder / "record"
        try:
            self.python = self.contender.interpreter()
        except NotInstallable as reason:
            raise WorkerFailed(f"{name}: {reason}") from reason

    def take(self, phase: str, task: str = "noop", workers: int = 1) -> Iterator[tuple[str, Figures]]:
        """Take the turn at a phase, and give its cells with their figures.

        Raises:
            WorkerFailed: A process of the contender broke down, or was too slow.
        """
        if phase == "enqueue":
            yield from self._enqueue(1_000 if self.table.is_quick else 3_000)
        elif phase == "drain":
            yield "", self._drain(task, workers)
        elif phase == "pickup":
            yield phase, self._pickup(60 if self.table.is_quick else 200)
        else:
            yield phase, self._commands()

    def _enqueue(self, count: int) -> Iterator[tuple[str, Figures]]:
        """Enqueue one by one, side by side and in bulk; nobody works."""
        with self._producing() as producer:
            for deed, factor in (("one", 1), ("gather", 2), ("bulk", 4)):
                self.table.server.empty()
                yield deed, producer.ask({"do": deed, "count": count * factor, "bytes": SMALL_BYTES})

    def _drain(self, task: str, workers: int) -> Figures:
        """Let workers work what was enqueued before they came."""
        with self._producing() as producer:
            count = self._tasks(producer)
            record = Record.create(self.record, count)
            empty = self.table.server.figures()
            size = LARGE_BYTES if task == "wait" else SMALL_BYTES
            producer.ask({"do": "fill", "task": task, "count": count, "bytes": size, "patience_seconds": 120})
            filled = self.table.server.figures()
            with self._working(producer, task=task, count=workers) as running:
                _wait_for(record, 1, running, START_SECONDS)
                busy = running.cpu_seconds()
                _wait_for(record, count, running, DRAIN_SECONDS)
                busy = running.cpu_seconds() - busy
                time.sleep(0.3)  # what was worked last is settled
                figures = _rates(record) | {"rss_mib": running.peak_mib(), "cpu_us": busy / count * 1e6, "tasks": count}
                return figures | self._cost(empty, filled, count)

    def _pickup(self, count: int) -> Figures:
        """Send single tasks to a worker that has nothing to do."""
        with self._producing() as producer:
            polls = producer.hello["polls_seconds"]
            count, warm = (count // 4, 4) if polls > 0.2 else (count, 20)
            Record.create(self.record, count + warm)
            with self._working(producer, task="noop", count=1):
                time.sleep(1.5)  # it starts; those that warm it up wait for the rest
                cell = {"do": "pickup", "count": count + warm, "warm": warm, "bytes": SMALL_BYTES, "polls_seconds": polls}
                return producer.ask(cell | {"record": str(self.record), "patience_seconds": 120})

    def _commands(self) -> Figures:
        """Count what a task costs in commands, with MONITOR, which slows everything: no rate is taken."""
        with self._producing() as producer:
            record = Record.create(self.record, TRACED)
            cell = {"do": "fill", "task": "noop", "count": TRACED, "bytes": SMALL_BYTES}
            with count_commands(self.table.server) as enqueuing:
                producer.ask(cell)
                time.sleep(0.2)
            with count_commands(self.table.server) as running, self._working(producer, task="noop", count=1) as workers:
                _wait_for(record, TRACED, workers, START_SECONDS)
                time.sleep(0.3)
            return {
                f"{verb}_{place}": counts[place] / TRACED
                for verb, counts in (("enqueue", enqueuing), ("run", running))
                for place in ("sent", "inside")
            }

    def _tasks(self, producer: Worker) -> int:
        count: int = producer.hello["tasks"]
        return count if count >= LARGEST or not self.table.is_quick else max(500, count * 3 // 10)

    def _cost(self, empty: Mapping[str, float], filled: Mapping[str, float], count: int) -> Figures:
        if self._store() == "postgresql":
            return {}
        finished = self.table.server.figures()
        return {
            "waiting_bytes": (filled["bytes"] - empty["bytes"]) / count,
            "finished_bytes": (finished["bytes"] - empty["bytes"]) / count,
            "server_us": (finished["cpu"] - filled["cpu"]) / count * 1e6,
            "reads": (finished["reads"] - filled["reads"]) / count,
        }

    def _store(self) -> str:
        return "postgresql" if self.name == "procrastinate" else "redis"

    def _environment(self) -> dict[str, str]:
        url = self.table.postgresql if self._store() == "postgresql" else self.table.server.url
        if not url:
            raise WorkerFailed(f"{self.name}: there is no PostgreSQL")
        return {"BENCH_QUEUE_URL": url, VARIABLE: str(self.record), **self.contender.environment}

    @contextmanager
    def _producing(self) -> Iterator[Worker]:
        self.table.server.empty()
        options = {"client": self.contender.client, "environment": self._environment()}
        producer = Worker(self.table.script, self.name, options, python=self.python)
        try:
            yield producer
        finally:
            producer.close()

    @contextmanager
    def _working(self, producer: Worker, *, task: str, count: int) -> Iterator[Workers]:
        at_once = {"BENCH_QUEUE_CONCURRENCY": str(producer.hello["at_once"][task])}
        environment = self._environment() | at_once
        command: list[str] = producer.hello["commands"][task]
        with running_workers(command, count=count, environment=environment, log=self.table.folder / "log") as workers:
            try:
                yield workers
            except TimeoutError as error:
                raise WorkerFailed(f"{self.name}: {error}: {workers.last_words()}") from error


def _wait_for(record: Record, count: int, workers: Workers, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (found := record.count()) < count:
        if not workers.are_alive() or time.monotonic() > end:
            raise TimeoutError(f"{found} of {count} tasks ran within {seconds:g} s")
        time.sleep(LOOK_SECONDS)


def _rates(record: Record) -> Figures:
    """Count from when the last worker ran its first task: starting up is not draining."""
    runs = list(record.runs())
    first: dict[int, float] = {}
    for seconds, process in runs:
        first[process] = min(seconds, first.get(process, seconds))
    begun, ended = max(first.values()), max(seconds for seconds, _ in runs)
    counted = sum(seconds > begun for seconds, _ in runs)
    return {"rate": counted / (ended - begun) if counted else 0.0, "processes": len(first)}
