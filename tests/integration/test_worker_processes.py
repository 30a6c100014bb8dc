"""`indiaai worker` as processes on a real Redis: what it does when they are killed, stopped, and when the code changes."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from commands import Running, call, is_alive, run_worker, wait_for
from indiaai_core import Platform, QueueService, TaskState, TaskStatus
from redisprocess import redis_server

pytestmark = pytest.mark.anyio

JOBS = """
    import asyncio
    import os

    from indiaai_core import Worker

    worker = Worker(grace_seconds=20)

    @worker.task("who")
    async def who():
        return os.getpid()

    @worker.task("slow")
    async def slow(data):
        await asyncio.sleep(data["seconds"])
        return VERSION

    VERSION = "one"
"""


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis server that the tests share."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def variables(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Return what selects a queue of the test's own."""
    return {
        "QUEUE_TYPE": "redis",
        "REDIS_URL": redis_url,
        "REDIS_QUEUE_NAME": tmp_path.name,
        "REDIS_LEASE_SECONDS": "2",
        "LOCAL_STORAGE_PATH": f"{tmp_path / 'storage'}",
        "SQLITE_DB_PATH": f"{tmp_path / 'app.db'}",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the application's folder."""
    write_jobs(tmp_path, JOBS)
    return tmp_path


@pytest.fixture
async def queue(variables: dict[str, str]) -> AsyncIterator[QueueService]:
    """Give the queue to the test, too."""
    platform = Platform(variables)
    yield platform.get_service("queue")
    await platform.aclose()


def write_jobs(folder: Path, source: str) -> None:
    """Write the application's module, as an editor does that saves at once."""
    (folder / "jobs.new").write_text(textwrap.dedent(source), "utf-8")
    (folder / "jobs.new").rename(folder / "jobs.py")


async def until(queue: QueueService, task_id: str, *states: TaskState) -> TaskStatus:
    """Wait until a task is in one of some states."""
    with anyio.fail_after(60):
        while (status := await queue.get_status(task_id)).state not in states:  # noqa: ASYNC110 - the queue tells nobody
            await anyio.sleep(0.02)
    return status


def all_gone(pids: list[int], running: Running) -> None:
    """Wait until none of the processes runs any more."""
    wait_for(lambda: None if any(map(is_alive, pids)) else True, running.said)


async def test_a_killed_process_is_replaced_and_its_task_is_worked(
    folder: Path, variables: dict[str, str], queue: QueueService
) -> None:
    """After kill -9 of a process the supervisor says so, another one works its task, and the stop is graceful."""
    with run_worker("jobs:worker", "--processes", "2", folder=folder, variables=variables) as running:
        first = running.children(2)
        task_id = await queue.enqueue("slow", {"seconds": 1})
        await until(queue, task_id, TaskState.PROCESSING)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        every = running.children(4)
        done = await until(queue, task_id, TaskState.COMPLETED)
        status = running.stop()

    assert len(set(every)) == 4
    assert running.said().count("was killed by SIGKILL. Starting it again in 0.5 s") == 2
    assert running.said().count("Worker jobs:worker\n") == 1
    assert "in each of 2 processes" in running.said()
    assert done.attempts == 2
    assert status == 0
    assert not any(map(is_alive, every))


async def test_a_killed_supervisor_leaves_no_orphan(folder: Path, variables: dict[str, str], queue: QueueService) -> None:
    """After kill -9 of the supervisor its processes finish what they run, take no more, and end by themselves."""
    with run_worker("jobs:worker", "--processes", "2", folder=folder, variables=variables) as running:
        children = running.children(2)
        running_id = await queue.enqueue("slow", {"seconds": 1.5})
        await until(queue, running_id, TaskState.PROCESSING)
        running.process.kill()
        running.hears("The process that started this worker is gone", count=2)
        all_gone(children, running)
        left_id = await queue.enqueue("who")

    assert (await queue.get_status(running_id)).state is TaskState.COMPLETED
    assert (await queue.get_status(left_id)).state is TaskState.PENDING


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_second_signal_gives_running_tasks_back_at_once(
    processes: str, folder: Path, variables: dict[str, str], queue: QueueService
) -> None:
    """SIGTERM twice: a task that would run for minutes waits again as if it had not been begun, and the status is 0."""
    with run_worker("jobs:worker", "--processes", processes, folder=folder, variables=variables) as running:
        running.hears("indiaai.worker: Working ", count=int(processes))
        task_id = await queue.enqueue("slow", {"seconds": 600})
        await until(queue, task_id, TaskState.PROCESSING)
        running.process.send_signal(signal.SIGTERM)
        running.hears("A second signal stops at once")
        meanwhile = await queue.get_status(task_id)
        status = running.stop(signal.SIGTERM)

    assert meanwhile.state is TaskState.PROCESSING
    assert status == 0
    found = await queue.get_status(task_id)
    assert (found.state, found.attempts) == (TaskState.PENDING, 0)


async def test_reload_shows_a_broken_file_and_tries_the_next_change(
    folder: Path, variables: dict[str, str], queue: QueueService
) -> None:
    """A running task has its grace, a syntax error is shown with its line, and mended code is worked with."""
    with run_worker("jobs:worker", "--reload", folder=folder, variables=variables) as running:
        running.hears("indiaai.worker: Working ")
        task_id = await queue.enqueue("slow", {"seconds": 1})
        await until(queue, task_id, TaskState.PROCESSING)
        write_jobs(folder, "def broken(:\n")
        running.hears("The worker cannot start: waiting for the next change")
        before = await queue.get_status(task_id)
        write_jobs(folder, JOBS.replace('"one"', '"two"'))
        running.hears("indiaai.worker: Working ", count=2)
        after = await until(queue, await queue.enqueue("slow", {"seconds": 0}), TaskState.COMPLETED)
        status = running.stop(signal.SIGINT)

    assert (before.state, before.result, before.attempts) == (TaskState.COMPLETED, "one", 1)
    assert 'jobs.py", line 1\n    def broken(:\n' in running.said()
    assert after.result == "two"
    assert running.said().count("Worker jobs:worker\n") == 2
    assert status == 0


async def test_a_configuration_that_is_wrong_is_said_once(folder: Path, variables: dict[str, str]) -> None:
    """Three processes that cannot start make one message and status 1, at once."""
    write_jobs(folder, "import nowhere_to_be_found\n")

    with run_worker("jobs:worker", "--processes", "3", folder=folder, variables=variables) as running:
        status = running.process.wait(60)

    assert status == 1
    assert running.said().count("No module named 'nowhere_to_be_found'") == 1
    assert "Traceback" not in running.said()


async def test_a_queue_in_memory_is_refused(folder: Path) -> None:
    """`--processes` on a queue that lives in one process is refused with the reason, once."""
    found = call("worker", "jobs:worker", "--processes", "2", folder=folder, variables={"QUEUE_TYPE": "memory"})

    assert found.returncode == 1
    assert found.stderr.count("InMemoryQueueService lives in one process: each of 2 processes") == 1
    assert "Traceback" not in found.stderr
