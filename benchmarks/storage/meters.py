"""What a process can say of itself while it works: rates, latencies, stalls of its event loop, memory.

Imported by the workers of the storage benchmarks; by itself it loads nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter, process_time
from typing import Any, Self

__all__ = ["Memory", "StallMeter", "measure_calls", "measure_transfer"]

MIB = 1024 * 1024
TICK_SECONDS = 0.002

Call = Callable[[int], Awaitable[object]]


class StallMeter:
    """How late a timer of 2 ms comes at the worst, while the block runs.

    `stall_ms` is the lateness as the application sees it. `own_ms` leaves out what the kernel kept the loop's thread waiting
    for a processor, which on a busy machine is the neighbours' doing; waiting for the interpreter's lock stays in.
    """

    def __init__(self) -> None:
        """Measure nothing yet."""
        self.stall_ms = 0.0
        self.own_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin, once the first tick is under way."""
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        """End after one more tick, so that a stall at the very end is seen."""
        await asyncio.sleep(2 * TICK_SECONDS)
        if self._task:
            self._task.cancel()

    async def _tick(self) -> None:
        descriptor = _open_schedule()
        try:
            while True:
                queued, started = _queued_ms(descriptor), perf_counter()
                await asyncio.sleep(TICK_SECONDS)
                late = (perf_counter() - started - TICK_SECONDS) * 1e3
                self.stall_ms = max(self.stall_ms, late)
                self.own_ms = max(self.own_ms, late - (_queued_ms(descriptor) - queued))
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _open_schedule() -> int:
    # Linux only; elsewhere the two stalls are the same.
    with suppress(OSError):
        return os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    return -1


def _queued_ms(descriptor: int) -> float:
    # The second number is how long the thread was ready to run and had no processor, in nanoseconds.
    return int(os.pread(descriptor, 64, 0).split()[1]) / 1e6 if descriptor >= 0 else 0.0


class Memory:
    """The most resident memory above where it stood at the beginning, in MiB. Linux only; 0.0 elsewhere."""

    def __init__(self) -> None:
        """Begin: drop what nobody needs, and let the kernel count its peak from here."""
        gc.collect()
        if os.path.exists("/proc/self/clear_refs"):
            with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        self._start = resident_mib()

    def peak_mib(self) -> float:
        """Return the peak since the beginning, above the beginning."""
        return resident_mib("VmHWM") - self._start


def resident_mib(field: str = "VmRSS") -> float:
    """Return a size that the kernel keeps of this process, in MiB."""
    if not os.path.exists("/proc/self/status"):
        return 0.0
    with open("/proc/self/status", encoding="utf-8") as file:
        sizes = [line for line in file if line.startswith(field)]
    return int(sizes[0].split()[1]) / 1024 if sizes else 0.0


async def measure_calls(call: Call, *, at_once: int, count: int = 0, seconds: float = 0.0) -> dict[str, float]:
    """Call again and again and return rate, latencies in ms, processor time a call in µs, and stalls in ms.

    Args:
        call: What to do; its argument counts up from 0.
        at_once: How many calls are under way at any time.
        count: How many calls in all; 0 for as many as the time allows.
        seconds: For how long, where no count is given.
    """
    latencies: list[float] = []
    numbers = iter(range(count or 1 << 60))
    stop = perf_counter() + (seconds if not count else 1e9)

    async def work() -> None:
        while (started := perf_counter()) < stop and (number := next(numbers, None)) is not None:
            await call(number)
            latencies.append(perf_counter() - started)

    async with StallMeter() as stalls:
        begun, busy = perf_counter(), process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
        elapsed, used = perf_counter() - begun, process_time() - busy
    latencies.sort()
    return {
        "rate": len(latencies) / elapsed,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
        "cpu_us": used / len(latencies) * 1e6,
        "stall_ms": stalls.stall_ms,
        "own_ms": stalls.own_ms,
    }


async def measure_transfer(transfer: Awaitable[Any], *, size: int) -> dict[str, float]:
    """Await one transfer and return its MiB a second, peak memory in MiB, processor seconds and stalls in ms."""
    memory = Memory()
    async with StallMeter() as stalls:
        started, busy = perf_counter(), process_time()
        await transfer
        elapsed, used = perf_counter() - started, process_time() - busy
    return {
        "mib_s": size / MIB / elapsed,
        "peak_mib": memory.peak_mib(),
        "cpu_s": used,
        "stall_ms": stalls.stall_ms,
        "own_ms": stalls.own_ms,
    }
