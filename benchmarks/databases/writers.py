"""Processes that read, change and write one row of an SQLite file at once, and what was lost of it; imported by `database`."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from databases.sessions import CONTENDERS, Account, prepare
from indiaai_core.errors import IndiaAIError

__all__ = ["write_at_once"]


def write_at_once(contender: str, path: Path, *, processes: int, times: int) -> dict[str, float]:
    """Let processes add to one balance, each so many times, and return rate, failures and lost updates."""
    asyncio.run(_prepare(contender, path))
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes + 1), context.Queue()
    workers = [context.Process(target=_work, args=(contender, path, times, start, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    start.wait(120)
    begun = perf_counter()
    done = sum(results.get(timeout=600) for _ in workers)
    elapsed = perf_counter() - begun
    for worker in workers:
        worker.join()
    balance = asyncio.run(_balance(contender, path))
    return {"rate": done / elapsed, "failed": processes * times - done, "lost": done - balance}


async def _prepare(contender: str, path: Path) -> None:
    sessions = CONTENDERS["sqlite"][contender](str(path))
    await prepare(sessions)
    await sessions.aclose()


async def _balance(contender: str, path: Path) -> int:
    sessions = CONTENDERS["sqlite"][contender](str(path))
    async with sessions.reading() as session:
        balance = (await session.get_one(Account, 1)).balance
    await sessions.aclose()
    return balance


def _work(contender: str, path: Path, times: int, start: Any, results: Any) -> None:
    async def main() -> None:
        sessions = CONTENDERS["sqlite"][contender](str(path))
        done = 0
        async with sessions.reading() as session:  # connected, and its statements compiled
            await session.get(Account, 1)
        await asyncio.to_thread(start.wait)
        for _ in range(times):
            try:
                async with sessions.writing() as session:
                    account = await session.get_one(Account, 1)
                    account.balance += 1
            except (SQLAlchemyError, IndiaAIError):
                continue
            done += 1
        results.put(done)
        await sessions.aclose()

    asyncio.run(main())
