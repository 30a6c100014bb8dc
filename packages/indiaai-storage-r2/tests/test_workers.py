"""The threads that calls wait in: bounded, quick to reach, and never left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from indiaai_storage_r2.workers import Workers, WorkersClosed

NAME = "workers-test"
PROGRAM = """
import asyncio, sys, time
from indiaai_storage_r2.workers import Workers
workers = Workers(2, name="exit", begin=int)
async def main():
    job = workers.start(lambda: (time.sleep(0.3), print("done", flush=True)))
    workers.start(int)
asyncio.run(main())
"""


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Three threads at most."""
    made = Workers(3, name=NAME, begin=int)
    yield made
    made.close()


def running() -> list[threading.Thread]:
    """Return the threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


@pytest.mark.anyio
async def test_a_result_comes_back(workers: Workers) -> None:
    """What a function returns or raises comes to whoever waits, from a thread, in the context of the caller."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")

    found = await workers.start(lambda: (variable.get(), threading.current_thread().name)).result()
    with pytest.raises(ZeroDivisionError):
        await workers.start(lambda: 1 // 0).result()

    assert found[0] == "of the caller"
    assert found[1].startswith(NAME)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_no_exception_is_lost(workers: Workers, error: type[BaseException]) -> None:
    """An exception that would end a thread, or that no future takes, ends neither the thread nor the waiting."""

    def fail() -> None:
        raise error

    with pytest.raises((error, RuntimeError)):  # Python turns a StopIteration out of a coroutine into a RuntimeError
        await workers.start(fail).result()

    assert await workers.start(lambda: 1).result() == 1


@pytest.mark.anyio
async def test_threads_start_when_they_are_needed(workers: Workers) -> None:
    """One call after the other needs one thread; more at once start others, up to the number, and all calls are made."""
    for _ in range(20):
        await workers.start(int).result()
    few = len(running())
    results = await asyncio.gather(*(workers.start(partial_sleep(number)).result() for number in range(50)))

    assert few == 1
    assert results == list(range(50))
    assert len(running()) == 3


def partial_sleep(number: int) -> Callable[[], int]:
    """Return a function that takes a moment and returns the number."""

    def work() -> int:
        time.sleep(0.001)
        return number

    return work


@pytest.mark.anyio
async def test_a_call_that_has_not_begun_can_be_taken_back(workers: Workers) -> None:
    """A call in the queue that is cancelled is never made; one that has begun cannot be taken back."""
    blocked, made = threading.Event(), []
    begun = [workers.start(lambda: blocked.wait(10)) for _ in range(3)]
    waiting = workers.start(lambda: made.append(1))

    is_taken_back = waiting.cancel()
    blocked.set()
    for job in begun:
        await job.result()
    await workers.start(int).result()

    assert is_taken_back
    assert not begun[0].cancel()
    assert made == []


@pytest.mark.anyio
async def test_settle_waits_for_the_end_and_no_longer(workers: Workers) -> None:
    """After a cancellation, the end of a call can be waited for, within a bound, whether it fails or not."""
    blocked = threading.Event()

    def fail() -> None:
        blocked.wait(10)
        raise ValueError

    job = workers.start(fail)
    with anyio.move_on_after(0.02):
        await job.result()
    began = time.monotonic()
    await job.settle(seconds=0.05)
    waited = time.monotonic() - began
    blocked.set()
    await job.settle(seconds=10)
    await job.settle(seconds=10)

    assert 0.04 <= waited < 5
    assert time.monotonic() - began < 5


@pytest.mark.anyio
async def test_closed_threads_take_no_work() -> None:
    """Closing waits for what was given, ends the threads, and refuses what comes after it; closing again does nothing."""
    workers = Workers(2, name=NAME, begin=int)
    jobs = [workers.start(partial_sleep(number)) for number in range(10)]

    await anyio.to_thread.run_sync(workers.close)
    await anyio.to_thread.run_sync(workers.close)

    assert running() == []
    assert await asyncio.gather(*(job.result() for job in jobs)) == list(range(10))
    with pytest.raises(WorkersClosed):
        workers.start(int)


def test_forgotten_threads_end() -> None:
    """Threads whose owner nobody holds any more end by themselves."""
    workers = Workers(2, name=NAME, begin=int)

    async def use(workers: Workers) -> None:
        await asyncio.gather(*(workers.start(int).result() for _ in range(5)))

    asyncio.run(use(workers))
    threads, gone = running(), weakref.ref(workers)
    del workers
    gc.collect()
    for thread in threads:
        thread.join(10)

    assert gone() is None
    assert threads
    assert running() == []


def test_a_process_ends_with_its_threads() -> None:
    """A process that never closes them ends, after what was under way."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=30)

    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "done", "")


@pytest.mark.anyio
async def test_what_a_call_held_is_given_back(workers: Workers) -> None:
    """Once a call was made, nothing keeps its function and what that holds, whether it failed or not."""

    class Held:
        def __init__(self, *, fails: bool) -> None:
            self.fails = fails

        def work(self) -> None:
            if self.fails:
                raise ZeroDivisionError

    gone = []
    for fails in (True, False):
        held: Any = Held(fails=fails)
        gone.append(weakref.ref(held))
        job = workers.start(held.work)
        del held
        if fails:
            with pytest.raises(ZeroDivisionError):
                await job.result()
        else:
            await job.result()
        del job
    await workers.start(int).result()
    gc.collect()

    assert [reference() for reference in gone] == [None, None]


@pytest.mark.anyio
async def test_a_process_that_waits_gets_more_threads() -> None:
    """Where calls wait for the network, as many are under way at once as there may be."""
    workers, gate = Workers(12, name=NAME, begin=int), threading.Event()

    jobs = []
    with anyio.fail_after(10):
        while len(running()) < 12:
            jobs.append(workers.start(gate.wait))
            await anyio.sleep(0.006)
    gate.set()
    for job in jobs:
        await job.result()

    assert len(jobs) >= 12
    workers.close()


@pytest.mark.anyio
async def test_a_process_that_works_gets_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that would only take the interpreter from one another are not started."""
    seconds = iter(range(1000))
    monkeypatch.setattr("time.process_time", lambda: next(seconds))
    workers, gate = Workers(12, name=NAME, begin=int), threading.Event()

    jobs = []
    for _ in range(20):
        jobs.append(workers.start(gate.wait))
        await anyio.sleep(0.006)
    started = len(running())
    gate.set()
    for job in jobs:
        await job.result()

    workers.close()
    assert started == 8
