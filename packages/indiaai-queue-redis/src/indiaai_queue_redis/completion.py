"""Many completions in one call: what each is told as, and which script takes it; imported by the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import StatusUpdate, Task, TaskState
from indiaai_queue_redis.batch import shares
from indiaai_queue_redis.linkset import LinkSet
from indiaai_queue_redis.partition import partition_of_id
from indiaai_queue_redis.record import encode_result, encode_token

__all__ = ["complete_all", "encode_completion"]


def encode_completion(result: Any, *, max_bytes: int) -> bytes:
    """Return the order to complete a task with a result.

    Raises:
        InvalidTask: The result is no JSON, or too long.
    """
    text = encode_result(result, max_bytes=max_bytes)
    return b"complete\n" + (text or StatusUpdate.of(TaskState.COMPLETED, result, max_bytes=max_bytes).data or b"null")


async def complete_all(links: LinkSet, results: Sequence[tuple[Task, Any]], *, max_bytes: int) -> list[bool | InvalidTask]:
    """Settle deliveries as completed, those of a partition in one script for each 1,000; raises what `LinkSet.run` does."""
    count = links.count or await links.partitions()
    outcomes: list[Any] = [_order(task, result, max_bytes) for task, result in results]
    places: dict[int, list[int]] = {}
    for position, order in enumerate(outcomes):
        if type(order) is tuple:
            where = 0 if count == 1 else partition_of_id(results[position][0].id, count)
            places.setdefault(where, []).append(position)

    async def tell(where: int, some: Sequence[int]) -> None:
        told = chain.from_iterable(outcomes[position] for position in some)
        for position, done in zip(some, await links.run("settle", *told, partition=where), strict=True):
            outcomes[position] = bool(done)

    parts = [
        (where, some)
        for where, positions in places.items()
        for some in shares(positions, size=lambda position: len(outcomes[position][2]))
    ]
    await asyncio.gather(*(tell(where, some) for where, some in parts))
    return outcomes


def _order(task: Task, result: Any, max_bytes: int) -> tuple[bytes, bytes, bytes] | InvalidTask:
    try:
        return encode_token(task.id), encode_token(task.lease), encode_completion(result, max_bytes=max_bytes)
    except InvalidTask as error:
        return error
