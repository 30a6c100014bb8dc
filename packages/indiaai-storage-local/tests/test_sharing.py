"""One directory serves several event loops, processes and systems."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from indiaai_core.testing import StorageConformance
from indiaai_storage_local import LocalSettings, LocalStorageService, anchors, folders, scratch, tree
from indiaai_storage_local.lookup import Lookup, find_lookup

FORKING = """
import asyncio, os, sys
from pathlib import Path
from indiaai_storage_local import LocalSettings, LocalStorageService

service = LocalStorageService(LocalSettings(path=Path(sys.argv[1])))
asyncio.run(service.upload("parent", b"before"))
child = os.fork()
if not child:
    asyncio.run(asyncio.wait_for(service.upload("child", b"after"), 10))
    assert asyncio.run(service.download("parent")) == b"before"
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert asyncio.run(service.download("child")) == b"after"
asyncio.run(service.aclose())
"""


def test_a_service_works_from_one_event_loop_after_another(root: Path) -> None:
    """A service that one loop used is used by the next, also after it was closed."""
    service = LocalStorageService(LocalSettings(path=root))

    asyncio.run(service.upload("object", b"first loop"))
    found = asyncio.run(service.download("object"))
    asyncio.run(service.aclose())

    assert found == asyncio.run(service.download("object")) == b"first loop"
    asyncio.run(service.aclose())


def test_a_service_works_from_several_event_loops_at_once(root: Path) -> None:
    """Loops in threads of their own share a service."""
    service = LocalStorageService(LocalSettings(path=root))
    failures: list[BaseException] = []

    async def work(number: int) -> None:
        for round_number in range(10):
            await service.upload(f"{number}/object", b"%d" % round_number)
            assert await service.download(f"{number}/object") == b"%d" % round_number
            await service.delete(f"{number}/object")

    def run(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the test is to show it
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    asyncio.run(service.aclose())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_service_works_after_a_fork(root: Path) -> None:
    """A child goes on with its parent's service, in threads of its own."""
    outcome = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, root], capture_output=True, text=True, check=False
    )

    assert outcome.returncode == 0, outcome.stderr


FORKING_AT_WORK = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from indiaai_storage_local import LocalSettings, LocalStorageService

service = LocalStorageService(LocalSettings(path=Path(sys.argv[1])))
held, released, duplicate = threading.Event(), threading.Event(), os.dup

def hold(descriptor):
    held.set()
    assert released.wait(60)
    return duplicate(descriptor)

def store():
    asyncio.run(service.upload("parents/object", b"x"))

asyncio.run(service.upload("object", b"x"))
os.dup = hold
parent = threading.Thread(target=store)
parent.start()
assert held.wait(60)
os.dup = duplicate
child = os.fork()
if not child:
    signal.alarm(30)  # ends a child that waits for ever
    asyncio.run(service.upload("children/object", b"x"))
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
released.set()
parent.join()
assert status == 0
asyncio.run(service.aclose())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_service_works_after_a_fork_in_the_middle_of_a_call(root: Path) -> None:
    """Whatever a thread of the parent was at, its child, which has not that thread, waits for nothing of it."""
    outcome = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING_AT_WORK, root],
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr


def test_closing_leaves_no_thread(root: Path) -> None:
    """The worker threads of a closed service end."""
    service = LocalStorageService(LocalSettings(path=root))
    asyncio.run(service.upload("object", b"x"))
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("indiaai-storage-local")]

    asyncio.run(service.aclose())
    for worker in workers:
        worker.join(10)

    assert workers
    assert not any(worker.is_alive() for worker in workers)


class TestWithoutDescriptors(StorageConformance):
    """The backend keeps every promise where there are neither open directories nor locks, as on Windows."""

    @pytest.fixture(autouse=True)
    def _paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folders, "_BY_DESCRIPTOR", False)
        monkeypatch.setattr(scratch, "fcntl", None)
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)


@pytest.mark.anyio
async def test_a_planted_link_leads_nowhere_without_descriptors(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where directories are paths, a link that is there is refused on the way."""
    from indiaai_core.errors import StorageError

    monkeypatch.setattr(folders, "_BY_DESCRIPTOR", False)
    monkeypatch.setattr(tree, "find_lookup", lambda _: None)
    await service.check()
    (root.parent / "outside").mkdir()
    (root / "objects" / "a%").symlink_to(root.parent / "outside")

    with pytest.raises(StorageError, match="Not a directory"):
        await service.upload("a/object", b"x")
    assert list((root.parent / "outside").iterdir()) == []


class TestWithoutLookup(StorageConformance):
    """The backend keeps every promise where folders are opened one by one, as on macOS or in a strict container."""

    @pytest.fixture(autouse=True)
    def _steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_of_many_processes_one_makes_the_secret(root: Path) -> None:
    """Twenty that start together on an empty directory sign alike, and a link of one is good for all."""
    outcome = subprocess.run([sys.executable, "-c", STARTING, root], capture_output=True, text=True, check=False)

    assert outcome.returncode == 0, outcome.stderr
    assert len(outcome.stdout.split()) == 20
    assert len(set(outcome.stdout.split())) == 1
    assert os.listdir(root / "tmp") == []


STARTING = """
import asyncio, os, sys
from pathlib import Path
from indiaai_storage_local import LocalSettings, LocalStorageService

go, start = os.pipe()
children = []
for _ in range(20):
    children.append(os.fork())
    if not children[-1]:
        os.close(start)
        os.read(go, 1)
        secret = asyncio.run(LocalStorageService(LocalSettings(path=Path(sys.argv[1]))).secret())
        os.write(1, secret + b"\\n")
        os._exit(0)
os.close(start)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.anyio
async def test_a_folder_that_another_made_anew_is_synced_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was removed and made again by another process is another one, also if it has the same number."""
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("a/object", b"x")
        await service.upload("a/object", b"x")
        async with LocalStorageService(LocalSettings(path=root, fsync=False)) as other:
            await other.delete("a/object")
            await other.upload("a/theirs", b"x")
        synced: list[int] = []
        fsync = os.fsync

        def spy(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", spy)
        await service.upload("a/object", b"x")

        assert (root / "objects").stat().st_ino in synced


@pytest.mark.anyio
async def test_of_many_folders_few_are_held_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one held longest is let go, and synced again when it is needed."""
    monkeypatch.setattr(anchors, "_MAX_FOLDERS", 3)
    async with LocalStorageService(LocalSettings(path=root)) as service:
        for number in [*range(10), *range(10)]:
            await service.upload(f"{number}/object", b"x")

        assert len(service._tree._anchors._known) == 3


@pytest.mark.anyio
async def test_a_call_goes_on_while_another_thread_prepares(root: Path) -> None:
    """A thread that finds no quick way, for want of descriptors, takes it from no other in the middle of a call."""
    service = LocalStorageService(LocalSettings(path=root))
    if find_lookup(str(root.parent)) is None:
        pytest.skip("folders are opened one by one here")
    lost: list[bool] = []

    class Fading(Lookup):
        def __bool__(self) -> bool:
            lost.append(True)
            service._tree._lookup = None
            return True

    await service.upload("a/object", b"x")

    service._tree._lookup, service._tree._cache = Fading(), None
    found = await service.download("a/object")
    service._tree._lookup = Fading()
    await service.upload("a/object", b"y")

    assert found == b"x"
    assert len(lost) == 2
    await service.aclose()
