"""redis-py by itself, which promises nothing of what a queue does: the floor that the others stand on.

Named by `queues.contenders`. As a program it is the idle receiver of the bare hand-over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from queues.client import Client, Row, install_uvloop, url
from queues.record import shared_record

__all__ = ["RedisClient"]

install_uvloop()


class RedisClient(Client):
    """LPUSH, and a pipeline of them; for the hand-over RPUSH to a BLMOVE that waits."""

    tasks = 20_000

    async def open(self) -> None:
        """Make the client."""
        self.redis: Any = Redis.from_url(url())

    async def close(self) -> None:
        """Close it."""
        await self.redis.aclose()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Push."""
        return await self.redis.rpush("bare", json.dumps({"number": number, "text": text}))

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Push in one pipeline."""
        pipeline = self.redis.pipeline(transaction=False)
        for number, text in rows:
            pipeline.rpush("bare", json.dumps({"number": number, "text": text}))
        return await pipeline.execute()

    def worker(self, at_once: int) -> list[str]:
        """Return this module as a program."""
        return [sys.executable, "-m", "queues.on_redis"]


async def receive() -> None:
    """Move one after the other, and note each."""
    redis: Any = Redis.from_url(url())
    record = shared_record()
    while True:
        moved = await redis.blmove("bare", "moved", 0, "LEFT", "RIGHT")
        record.mark(json.loads(moved)["number"])


if __name__ == "__main__":
    asyncio.run(receive())
