"""`indiaai queue` as a process: on a real Redis, on one that is not there, and on the queue in memory."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import call
from indiaai_core import NewTask, Platform, QueueService
from redisprocess import redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis server that the tests share."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def variables(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Return what selects a queue of the test's own, as a named instance."""
    return {"ARCHIVE_QUEUE_TYPE": "redis", "ARCHIVE_REDIS_URL": redis_url, "ARCHIVE_REDIS_QUEUE_NAME": tmp_path.name}


@pytest.fixture
async def queue(variables: dict[str, str]) -> AsyncIterator[QueueService]:
    """Give the queue to the test, too."""
    platform = Platform(variables)
    yield platform.get_service("queue", "archive")
    await platform.aclose()


@pytest.fixture
def operate(variables: dict[str, str], tmp_path: Path) -> Any:
    """Run a command of `indiaai queue` on it, and return what it says in JSON."""

    def operate(*arguments: str, status: int = 0) -> Any:
        found = call("queue", *arguments, "--queue", "archive", "--json", folder=tmp_path, variables=variables)
        assert (found.returncode, "Traceback" in found.stderr) == (status, False), found.stderr
        return json.loads(found.stdout)

    return operate


async def fail(queue: QueueService, count: int) -> list[str]:
    """Make dead letters and return their ids."""
    await queue.enqueue_many(NewTask("process", {"number": number}) for number in range(count))
    ids: list[str] = []
    while tasks := await queue.dequeue_many(500):
        for task in tasks:
            await queue.update_status(task, "failed", {"error": f"ValueError: {task.data}", "traceback": "here"})
        ids += [task.id for task in tasks]
    return ids


async def test_an_operator_finds_mends_and_forgets(queue: QueueService, operate: Any) -> None:
    """Counts, a task, the dead letters, requeueing, cancelling and purging, on a named instance."""
    ids = await fail(queue, 3)

    counts, shown, dead = operate("counts"), operate("show", ids[0]), operate("dead", "-n", "2")
    requeued = operate("requeue", ids[0], "nobody", status=1)
    cancelled = operate("cancel", ids[0])
    rest = operate("requeue", "--all-dead")
    purged = operate("purge", "--yes")

    assert counts == {"pending": 0, "delayed": 0, "processing": 0, "dead": 3}
    assert (shown["name"], shown["state"], shown["traceback"]) == ("process", "failed", "here")
    assert len(dead) == 2
    assert requeued["requeued"] == [ids[0]]
    assert list(requeued["refused"]) == ["nobody"]
    assert cancelled == {"cancelled": [ids[0]], "refused": {}, "error": None}
    assert sorted(rest["requeued"]) == sorted(ids[1:])
    assert purged == {"purged": 2}


async def test_thousands_of_dead_letters_are_requeued_in_one_command(queue: QueueService, operate: Any) -> None:
    """All of them, each once, in a few seconds."""
    ids = await fail(queue, 2500)

    found = operate("requeue", "--all-dead")

    assert sorted(found["requeued"]) == sorted(ids)
    assert operate("counts") == {"pending": 2500, "delayed": 0, "processing": 0, "dead": 0}


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("answer", ["y", "n"])
async def test_a_person_at_a_terminal_is_asked(
    answer: str, queue: QueueService, variables: dict[str, str], tmp_path: Path
) -> None:
    """The question says how many and where; a yes forgets them, a no nothing."""
    import pty

    await fail(queue, 2)
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())

    found = call("queue", "purge", "--queue", "archive", folder=tmp_path, variables=variables, stdin=theirs)
    os.close(ours)
    os.close(theirs)

    assert "Forget 0 tasks that wait and 2 dead letters of archive: redis at redis://127.0.0.1:" in found.stderr
    assert found.returncode == (0 if answer == "y" else 1)
    assert (await queue.counts()).dead == (0 if answer == "y" else 2)


def test_a_server_that_is_not_there_is_one_error_without_a_secret(tmp_path: Path) -> None:
    """Where it was looked for is named; user and password are not, and there is no traceback."""
    variables = {"QUEUE_TYPE": "redis", "REDIS_URL": "redis://ada:pa55@127.0.0.1:1/0", "REDIS_RETRY_SECONDS": "0"}

    found = call("queue", "counts", folder=tmp_path, variables=variables)

    assert (found.returncode, found.stdout) == (1, "")
    assert "redis://127.0.0.1:1/0" in found.stderr
    assert "pa55" not in found.stderr
    assert "Traceback" not in found.stderr


def test_a_queue_in_memory_is_not_shown_as_empty(tmp_path: Path) -> None:
    """The default queue lives in the application: zeros would mislead."""
    found = call("queue", "counts", folder=tmp_path, variables={"QUEUE_TYPE": "memory"})

    assert (found.returncode, found.stdout) == (1, "")
    assert "InMemoryQueueService lives in the application's process" in found.stderr


def test_a_table_in_a_pipe_is_plain_lines(variables: dict[str, str], tmp_path: Path) -> None:
    """`cut` and `awk` read it, and nothing in it is a colour."""
    found = call("queue", "counts", "-q", "archive", folder=tmp_path, variables=variables)

    assert found.stdout == "tasks\tcount\npending\t0\ndelayed\t0\nprocessing\t0\ndead\t0\n"
