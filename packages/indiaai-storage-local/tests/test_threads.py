"""The worker threads: as few as are needed, eight at most, and no call is left without one."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import anyio
import pytest

from indiaai_storage_local.threads import DiskThreads

pytestmark = pytest.mark.anyio


def workers() -> set[threading.Thread]:
    """Return the worker threads that live."""
    return {thread for thread in threading.enumerate() if thread.name == "indiaai-storage-local"}


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - threads end without telling anybody
            await anyio.sleep(0.001)


async def test_calls_one_after_another_share_a_thread() -> None:
    """A thread that has nothing to do takes the next call: no other is started for it."""
    threads, before = DiskThreads(), workers()

    for number in range(20):
        assert await threads.run(int, number) == number
        await wait_for(lambda: threads._crew is not None and threads._crew._free == threads._crew._count)

    assert len(workers() - before) == 1
    threads.close()


async def test_calls_at_once_have_eight_threads_at_most() -> None:
    """Eight calls run side by side, the others wait for their turn, and all are done."""
    threads, before = DiskThreads(), workers()
    reached, released = [], threading.Event()

    def hold(number: int) -> int:
        reached.append(number)
        assert released.wait(10)
        return number

    calls = [threads.start(hold, number) for number in range(30)]
    await wait_for(lambda: len(reached) == 8)
    started = len(workers() - before)
    released.set()
    found = [await threads.wait(call) for call in calls]

    assert started == 8
    assert found == list(range(30))
    threads.close()


async def test_what_was_begun_before_the_end_is_done() -> None:
    """Calls that wait for a thread while the service is closed are made, and then the threads end."""
    threads, before = DiskThreads(), workers()
    released = threading.Event()

    def hold(number: int) -> int:
        assert released.wait(10)
        return number

    calls = [threads.start(hold, number) for number in range(20)]

    threads.close()
    released.set()

    assert [await threads.wait(call) for call in calls] == list(range(20))
    await wait_for(lambda: workers() <= before)


async def test_a_call_that_comes_with_the_end_is_made() -> None:
    """A loop that found the threads a moment before another one closed them has its call made; no thread stays for it."""
    threads, before = DiskThreads(), workers()
    await threads.run(int)
    crew = threads._crew
    assert crew
    threads.close()

    threads._crew = crew
    for _ in range(5):
        assert await threads.run(lambda: "made") == "made"

    await wait_for(lambda: workers() <= before)


async def test_threads_of_a_service_that_nobody_closed_end() -> None:
    """What is dropped without being closed leaves no thread."""
    threads, before = DiskThreads(), workers()
    await asyncio.gather(*[threads.run(int) for _ in range(5)])

    del threads
    gc.collect()

    await wait_for(lambda: workers() <= before)


async def test_what_a_call_returned_is_not_kept() -> None:
    """A thread that waits for its next call holds nothing of its last one."""
    threads, released = DiskThreads(), threading.Event()

    class Large:
        def __del__(self) -> None:
            released.set()

    await threads.run(Large)
    gc.collect()

    await wait_for(released.is_set)
    threads.close()
