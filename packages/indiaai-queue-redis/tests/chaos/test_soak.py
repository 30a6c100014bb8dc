"""Many tasks go through, the good and the bad, and neither the worker nor the server is larger after them than before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from crew import Ledger, asked_rounds, serve, service_of, wait_until_settled
from indiaai_core import NewTask
from indiaai_queue_redis import RedisQueueService
from redisserver import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

TASKS = 5_000
MAX_DEAD_LETTERS = 100
MAX_GROWTH_MIB = 4.0
"""What an allocator may keep more after six times as many tasks; 100 bytes kept of each would be 3 MiB, of each twice 6."""


def worker_mib(process: int) -> float:
    """Return the memory that a process has now."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def server_mib(service: RedisQueueService) -> float:
    """Return what the server's data takes, when what is to expire has."""
    with anyio.fail_after(60):
        while await service.client.dbsize() > MAX_DEAD_LETTERS + 10:  # noqa: ASYNC110 - the server tells nobody
            await anyio.sleep(0.05)
    told = await service.client.info("memory")
    return float(told["used_memory"] - told["mem_clients_normal"]) / 2**20


async def put_through(service: RedisQueueService) -> None:
    """Have some thousand tasks worked, of which one in ten has no handler and becomes a dead letter."""
    for first in range(0, TASKS, 500):
        names = ("nobody" if number % 10 == 0 else "chaos" for number in range(500))
        await service.enqueue_many([NewTask(name, {"number": first + n}) for n, name in enumerate(names)])
        await wait_until_settled(service)


async def test_nothing_grows_with_the_tasks_that_went_through(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """After six times as many tasks, worker and server take as much memory as after the first thousands."""
    rounds = asked_rounds(6)
    settings = {
        "url": make_server("--appendfsync", "no").url(),
        "keep_finished_seconds": 0.2,
        "max_dead_letters": MAX_DEAD_LETTERS,
    }

    async with service_of(settings) as service, serve(ledger, settings, most_seconds=0.0) as crew:
        await crew.start()
        (worker,) = crew.alive
        sizes: list[tuple[float, float]] = []
        for _ in range(rounds):
            await put_through(service)
            sizes.append((worker_mib(worker), await server_mib(service)))

    shown = ", ".join(f"{worker:.1f} and {server:.1f}" for worker, server in sizes)
    report(f"{rounds * TASKS:,} tasks; MiB of worker and server after each {TASKS:,}: {shown}")
    for first, last in zip(sizes[0], sizes[-1], strict=True):
        assert last - first <= MAX_GROWTH_MIB
