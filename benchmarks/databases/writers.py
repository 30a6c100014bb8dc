"""Processes that read, change and write one row of an SQLite file at once, and what was lost of it; imported by `database`."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from databases.sessions import SAME, SYNC, WRITERS, Account, Sessions, prepare
from indiaai_core.errors import IndiaAIError

__all__ = ["write_at_once"]


def write_at_once(contender: str, path: Path, *, processes: int, times: int) -> dict[str, float]:
    """Let processes add to one balance, each so many times, and return rates, failures, lost updates and the longest wait.

    The time begins when all processes have connected and have written once, and ends with the last one's last commit. `rate`
    is of commits that were answered, `kept` of those that are in the balance at the end: what was lost is no work done.
    """
    asyncio.run(_prepare(SAME if contender == SYNC else contender, path))
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes + 1), context.Queue()
    workers = [context.Process(target=_work, args=(contender, path, times, start, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    start.wait(120)
    begun = perf_counter()
    counts, waits = zip(*(results.get(timeout=600) for _ in workers), strict=True)
    elapsed = perf_counter() - begun
    done = sum(counts)
    for worker in workers:
        worker.join()
    balance = asyncio.run(_balance(contender, path))
    return {
        "rate": done / elapsed,
        "kept": balance / elapsed,
        "failed": processes * times - done,
        "lost": done - balance,
        "longest_ms": max(waits) * 1000,
    }


async def _prepare(contender: str, path: Path) -> None:
    sessions = WRITERS[contender](str(path))
    await prepare(sessions)
    await sessions.aclose()


async def _balance(contender: str, path: Path) -> int:
    sessions = WRITERS[contender](str(path))
    async with sessions.reading() as session:
        balance = (await session.get_one(Account, 1)).balance
    await sessions.aclose()
    return balance


async def _add(sessions: Sessions, number: int) -> bool:
    try:
        async with sessions.writing() as session:
            account = await session.get_one(Account, number)
            account.balance += 1
    except (SQLAlchemyError, IndiaAIError):
        return False
    return True


def _work(contender: str, path: Path, times: int, start: Any, results: Any) -> None:
    async def main() -> None:
        sessions = WRITERS[contender](str(path))
        done, longest = 0, 0.0
        await _add(sessions, 2)  # connected, and its statements compiled
        await asyncio.to_thread(start.wait)
        for _ in range(times):
            begun = perf_counter()
            done += await _add(sessions, 1)
            longest = max(longest, perf_counter() - begun)
        results.put((done, longest))
        await sessions.aclose()

    asyncio.run(main())
