"""What every contender runs: a handler that does nothing, and one that waits for a millisecond, as coroutines and plainly.

Imported by the contenders' modules.
"""

from __future__ import annotations

import asyncio
import time

from queues.record import shared_record

__all__ = ["noop", "noop_blocking", "wait", "wait_blocking"]

WAIT_SECONDS = 0.001


async def noop(number: int, text: str) -> int:
    """Note the run; the result is the number."""
    shared_record().mark(number)
    return number


async def wait(number: int, text: str) -> int:
    """Wait as for a fast answer of somebody else, and note the run."""
    await asyncio.sleep(WAIT_SECONDS)
    shared_record().mark(number)
    return number


def noop_blocking(number: int, text: str) -> int:
    """Note the run; the result is the number."""
    shared_record().mark(number)
    return number


def wait_blocking(number: int, text: str) -> int:
    """Wait as for a fast answer of somebody else, and note the run."""
    time.sleep(WAIT_SECONDS)
    shared_record().mark(number)
    return number
