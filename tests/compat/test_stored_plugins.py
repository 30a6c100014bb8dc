"""A plugin that was built against an earlier release goes on working: found, selected, wrapped, and green in its own tests."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from sites import CLI, Run, wheels

FOLDER = Path(__file__).parent
WHEELS = wheels("acme_trunk")
VARIABLES = {"STORAGE_TYPE": "trunk", "QUEUE_TYPE": "trunk", "TRUNK_PATH": "trunk"}

# An application of that time: by its variables it runs on the plugin, and everything of the plugin has a part.
APPLICATION = """
import json
import anyio
from indiaai_core import Platform, Worker, get_queue_service, get_storage_service
from acme_trunk import hooks, wrapper

worker = Worker()

@worker.task("count")
async def count(task: dict) -> dict:
    return {"bytes": len(await get_storage_service().download(task["key"]))}

async def main():
    async with Platform():
        storage, queue = get_storage_service(), get_queue_service()
        await storage.upload("a/b.txt", b"kept", "text/plain")
        task_id = await queue.enqueue("count", {"key": "a/b.txt"})
        await worker.drain(queue)
        status = await queue.get_status(task_id)
        listed = [info.key async for info in storage.list()]
        async with Platform() as other:
            archive = other.get_service("storage", "archive")
            found = await archive.exists("a/b.txt")
    print(json.dumps({"result": status.result, "listed": listed, "in the archive": found,
        "counted": wrapper.COUNTED, "heard": hooks.HEARD}))

anyio.run(main)
"""


def test_a_wheel_of_each_release_is_kept() -> None:
    """The first one is of the first release, and the last one is what stands beside it as source."""
    modules = {path.name: path.read_text("utf-8") for path in FOLDER.glob("acme_trunk/*.py")}
    with zipfile.ZipFile(WHEELS[-1]) as archive:
        kept = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}

    assert WHEELS[0].name == "acme_trunk-0.1.0-py3-none-any.whl"
    assert kept == modules


def test_a_stored_plugin_keeps_every_promise_of_today(run: Run) -> None:
    """Its own tests, of which the suites are today's, pass as they did when it was published."""
    printed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--pyargs", "acme_trunk.conformance")

    assert " passed" in printed


def test_a_stored_plugin_carries_an_application(run: Run) -> None:
    """Storage, queue, settings, named instance, wrapper, hooks and observer do what they did."""
    wrappers = {"STORAGE_WRAPPERS": "trunk_count,retry,timeout", "QUEUE_WRAPPERS": "trunk_count"}

    said = json.loads(run("-c", APPLICATION, **wrappers, COUNT_SKIP="dequeue", ARCHIVE_TRUNK_PATH="archive"))

    assert (said["result"], said["listed"], said["in the archive"]) == ({"bytes": 4}, ["a/b.txt"], False)
    assert said["counted"]["storage.download"] == 1
    assert said["counted"]["queue.enqueue"] == 1
    assert "queue.dequeue" not in said["counted"]
    assert {"opened storage", "opened queue", "upload done", "list done", "closed storage", "closed queue"} <= set(
        said["heard"]
    )


def test_a_stored_plugin_is_listed_with_its_command(run: Run) -> None:
    """`indiaai plugins --load` has nothing to say against it, and its own command is there."""
    listed = json.loads(run(*CLI, "plugins", "--load", "--json"))

    rows = [row for row in listed["backends"] if row["backend"] == "trunk"]
    assert [(row["layer"], row["distribution"], row["error"]) for row in rows] == [
        ("queue", "acme-trunk", None),
        ("storage", "acme-trunk", None),
    ]
    assert run(*CLI, "trunk") == "The trunk is there.\n"
