"""Who writes while things die, and the ledger of what was said and what is there; imported by the chaos tests."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, func, insert, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core import BackendUnavailable
from indiaai_db import CommitUnknown
from indiaai_db.postgresql import PostgresqlDatabaseService

__all__ = ["DICE", "NUMBERS", "TIMELINE", "Crew", "Ledger", "Place", "asked_rounds", "create_numbers"]

DICE = random.Random()  # noqa: S311 - moments, not secrets

PATIENCE_SECONDS = 60.0
"""How long any session may take in all, whatever dies meanwhile."""

NUMBERS = Table("numbers", MetaData(), Column("number", BigInteger, primary_key=True))

TIMELINE = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
"""The name of the history that a primary writes: another one after each promotion, and greater."""

_POSITION = "(pg_current_wal_insert_lsn() - '0/0')::bigint"


class Unwanted(Exception):
    """What makes the application itself roll back."""


def asked_rounds(rounds: int) -> int:
    """Return how often to break something: so often, or as CHAOS_ROUNDS says."""
    return int(os.environ.get("CHAOS_ROUNDS") or rounds)


async def create_numbers(service: PostgresqlDatabaseService) -> None:
    """Make the table."""
    async with service.engine.begin() as connection:
        await connection.run_sync(NUMBERS.metadata.create_all)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a primary's log went, at a moment not before `asked_at`."""

    asked_at: float
    timeline: str
    position: int


@dataclass
class Ledger:
    """What each transaction was said to have become.

    Attributes:
        acknowledged: Numbers that were committed, and when that was said.
        places: How far the log went when they were written, before their commit.
        undone: Numbers of which nothing may be there: refused, or rolled back by the application.
        unknown: Numbers of which nobody knows.
        stale: Numbers that a request did not read although it had committed them.
        refused_reads: How many reads were refused.
        reads: How many were served.
        old_reads: How many showed less than had been committed `pause_seconds` before they began.
    """

    acknowledged: dict[int, float] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    stale: list[int] = field(default_factory=list)
    reads: int = 0
    refused_reads: int = 0
    old_reads: int = 0

    async def missing_and_risen(self, service: PostgresqlDatabaseService) -> tuple[set[int], set[int]]:
        """Return what was acknowledged and is not there, and what was undone and is."""
        async with service.session() as session:
            present = set((await session.scalars(select(NUMBERS.c.number))).all())
        return self.acknowledged.keys() - present, self.undone & present

    def heard_of(self, ends: Mapping[str, int]) -> set[int]:
        """Return the acknowledged numbers that every server which was promoted had heard of.

        A commit is in the log before it is acknowledged, so it is below any place that somebody asks for after that. Where a
        replica had come to such a place when it was promoted, it had come to the commit. What nobody asked after, because the
        primary died, is taken for unheard of.

        Args:
            ends: How far each timeline went that was left, as whoever was promoted had it.
        """
        places = sorted(self.places.values(), key=_asked_at)
        heard = set()
        for number, acknowledged_at in self.acknowledged.items():
            timeline = self.places[number].timeline
            after = range(bisect_right(places, acknowledged_at, key=_asked_at), len(places))
            above = next((places[index].position for index in after if places[index].timeline == timeline), None)
            left = [end for name, end in ends.items() if name >= timeline]
            if not left or (above is not None and above <= min(left)):
                heard.add(number)
        return heard

    def figures(self) -> str:
        """Return what was counted."""
        return (
            f"{len(self.acknowledged):,} transactions acknowledged, {len(self.undone):,} undone, {len(self.unknown)} unknown; "
            f"{self.reads:,} reads, {self.refused_reads} refused, {self.old_reads} too old, "
            f"{len(self.stale)} missed an own write"
        )


def _asked_at(place: Place) -> float:
    return place.asked_at


@dataclass
class Crew:
    """Requests that write and read, one after the other in each of several tasks, until the block ends.

    Whatever is raised and is no `BackendUnavailable`, and whatever takes longer than a minute, fails the test.
    """

    service: PostgresqlDatabaseService
    ledger: Ledger
    pause_seconds: float
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _first: int = 0
    _acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def working(self, *, writers: int = 6, readers: int = 4) -> AsyncIterator[None]:
        """Work for the time of a block."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work(self._write_and_read)) for _ in range(writers)]
            tasks += [group.create_task(self._work(self._read)) for _ in range(readers)]
            yield
            for task in tasks:
                task.cancel()

    async def wait_for_acknowledgement(self) -> float:
        """Wait until a transaction that begins from now on is acknowledged, and return how long that took."""
        began = time.monotonic()
        self._first, self._acknowledged = next(self._numbers), asyncio.Event()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._acknowledged.wait()
        return time.monotonic() - began

    async def _work(self, request: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                # A context of its own, as a server gives each request: what it commits is not the next one's.
                await asyncio.get_running_loop().create_task(request(), context=Context())
            await asyncio.sleep(DICE.uniform(0, 0.02))

    async def _write_and_read(self) -> None:
        number = next(self._numbers)
        if not await self._write(number):
            return
        try:
            async with self.service.session(read_only=True) as session:
                found = await session.scalar(select(NUMBERS.c.number).where(NUMBERS.c.number == number))
        except BackendUnavailable:
            self.ledger.refused_reads += 1
        else:
            self.ledger.reads += 1
            if found is None:
                self.ledger.stale.append(number)

    async def _write(self, number: int) -> bool:
        async def add(session: AsyncSession) -> None:
            adding: Any = insert(NUMBERS).values(number=number).returning(literal_column(TIMELINE), literal_column(_POSITION))
            asked_at = time.monotonic()
            self.ledger.places[number] = Place(asked_at, *(await session.execute(adding)).one())
            if number % 10 == 9:
                raise Unwanted

        try:
            if number % 2:
                await self.service.run(add)
            else:
                async with self.service.session() as session:
                    await add(session)
        except CommitUnknown:
            self.ledger.unknown.add(number)
        except (BackendUnavailable, Unwanted):
            self.ledger.undone.add(number)
        else:
            self.ledger.acknowledged[number] = time.monotonic()
            if number > self._first:
                self._acknowledged.set()
            return True
        return False

    async def _read(self) -> None:
        asked_at = time.monotonic()
        expected = sum(at <= asked_at - self.pause_seconds for at in list(self.ledger.acknowledged.values()))
        try:
            async with self.service.session(read_only=True) as session:
                count = await session.scalar(select(func.count()).select_from(NUMBERS)) or 0
        except BackendUnavailable:
            self.ledger.refused_reads += 1
        else:
            self.ledger.reads += 1
            self.ledger.old_reads += count < expected
