"""The embedded backends together on one platform: nothing configured, several loops, a fork, a clean close."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from indiaai_core import ConfigurationError, Platform, TaskState, current_platform, get_queue_service, get_storage_service
from indiaai_db import get_database_service


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts in an empty folder, without a variable that selects anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("STORAGE_TYPE", "QUEUE_TYPE", "DATABASE_TYPE"):
        monkeypatch.delenv(name, raising=False)
    yield
    anyio.run(current_platform().aclose)


async def use_everything() -> bytes:
    """Store, enqueue, work and record one thing on whatever the current platform has."""
    storage, queue = get_storage_service(), get_queue_service()
    await storage.upload("कागज़/one.txt", "नमस्ते".encode(), "text/plain")
    task_id = await queue.enqueue("read", {"key": "कागज़/one.txt"})
    task = await queue.dequeue(5)
    assert task is not None
    content = await storage.download(task.data["key"])
    assert await queue.update_status(task, "completed", len(content))
    assert (await queue.get_status(task_id)).state is TaskState.COMPLETED
    async with get_database_service().session() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
    return content


@pytest.mark.anyio
async def test_everything_works_with_no_settings_at_all(tmp_path: Path) -> None:
    """The three embedded backends make what they need under `./data`, and nothing elsewhere."""
    async with Platform():
        content = await use_everything()

    assert content.decode() == "नमस्ते"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_platform_serves_several_loops_one_after_the_other() -> None:
    """A service used from a second event loop works, although the first loop is gone."""
    for _ in range(3):
        assert asyncio.run(use_everything())


def test_a_platform_serves_several_loops_at_once() -> None:
    """Threads that each run their own loop share the services."""
    failures: list[BaseException] = []

    def use() -> None:
        try:
            asyncio.run(use_everything())
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []


def test_a_clean_close_leaves_no_task_no_file_and_no_warning() -> None:
    """After `async with Platform()` nothing is pending, nothing open, and nothing complains."""

    async def main() -> set[str]:
        async with Platform():
            await use_everything()
        return {repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    def open_files() -> set[str]:
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return {str(link.readlink()) for link in links if link.is_symlink() and f"{Path.cwd()}/data/" in str(link.readlink())}

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        pending = asyncio.run(main(), debug=True)
        gc.collect()

    assert pending == set()
    assert [str(complaint.message) for complaint in complaints] == []
    assert {thread.name for thread in threading.enumerate() if not thread.daemon} == {"MainThread"}
    if Path("/proc/self/fd").exists():
        assert open_files() == set()


FORK = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
from test_embedded_platform import use_everything
asyncio.run(use_everything())
child = os.fork()
if child == 0:
    try:
        asyncio.run(use_everything())
    except BaseException as error:
        print("child:", repr(error), flush=True)
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
asyncio.run(use_everything())
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_after_a_fork_each_process_has_its_own() -> None:
    """A service was used, the process forks: child and parent both go on."""
    run = subprocess.run(
        [sys.executable, "-c", FORK, str(Path(__file__).parent)], capture_output=True, text=True, timeout=120, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr


BAD_SETTINGS = {
    "an unknown backend": ({"STORAGE_TYPE": "azure"}, "pip install indiaai-storage-azure"),
    "a wrong type of value": ({"MEMORY_QUEUE_LEASE_SECONDS": "soon"}, "MEMORY_QUEUE_LEASE_SECONDS: 'soon'"),
    "a path that is a file": ({"LOCAL_STORAGE_PATH": "file"}, "LOCAL_STORAGE_PATH"),
    "a database that is a folder": ({"SQLITE_DB_PATH": "folder"}, "SQLITE_DB_PATH"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("variables", "message"), list(BAD_SETTINGS.values()), ids=list(BAD_SETTINGS))
async def test_what_is_wrong_is_said_at_start(variables: dict[str, str], message: str, tmp_path: Path) -> None:
    """Each wrong setting stops the start with an error that names the variable."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (tmp_path / "folder").mkdir()

    with pytest.raises(ConfigurationError) as caught:
        async with Platform(variables):
            pass

    assert message in str(caught.value)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "in the way"


@pytest.mark.anyio
async def test_faults_of_three_layers_come_in_one_error() -> None:
    """Storage, queue and database all wrong: one error names all three variables."""
    variables = {"LOCAL_STORAGE_FSYNC": "perhaps", "MEMORY_QUEUE_MAX_TASKS": "-1", "SQLITE_SYNCHRONOUS": "SOMETIMES"}

    with pytest.raises(ConfigurationError) as caught:
        await Platform(variables).open()

    assert {fault.variable for fault in caught.value.faults} == set(variables)
