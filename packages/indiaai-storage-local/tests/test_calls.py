"""Calls that one thread does side by side: in rounds, with one sync of a folder for all of them, and each for itself."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from indiaai_core.errors import BackendUnavailable
from indiaai_storage_local import LocalStorageService
from indiaai_storage_local import threads as threads_module
from indiaai_storage_local.calls import Call, Inbox, Steps, perform
from indiaai_storage_local.folders import Folder
from indiaai_storage_local.threads import DiskThreads

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a busy machine does to the figures, the disk is taken for a quick one."""
    monkeypatch.setattr(threads_module, "_SLOW_SECONDS", 3600.0)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that were synced."""
    descriptors: list[int] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        descriptors.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    return descriptors


@pytest.fixture
def side_by_side() -> Callable[..., Any]:
    """Does functions of steps as one thread does brief calls, and returns what each gave or raised."""

    async def do(*functions: Callable[[], Steps[object]]) -> list[object]:
        inbox = Inbox(asyncio.get_running_loop())
        made: list[Call[object]] = [Call(function, (), has_steps=True, inbox=inbox) for function in functions]
        perform(made)
        return await asyncio.gather(*[call.future for call in made], return_exceptions=True)

    return do


async def test_a_folder_is_synced_once_for_all(tmp_path: Path, synced: list[int], side_by_side: Callable[..., Any]) -> None:
    """Two descriptors of one folder are one sync, made when all have come to it; another folder is one more."""
    (tmp_path / "other").mkdir()
    reached: list[str] = []

    def store(path: Path, name: str) -> Steps[str]:
        with Folder(str(path)) as folder:
            reached.append(name)
            yield folder
            assert len(reached) == 3
            assert len(synced) == 2
        return name

    found = await side_by_side(
        lambda: store(tmp_path, "a"), lambda: store(tmp_path, "b"), lambda: store(tmp_path / "other", "c")
    )

    assert found == ["a", "b", "c"]


async def test_a_sync_that_fails_is_told_to_all_that_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side_by_side: Callable[..., Any]
) -> None:
    """Each has an error of its own, to add to; who waits for another folder has none."""
    (tmp_path / "sound").mkdir()
    damaged = os.stat(tmp_path)

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), damaged):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", sync)

    def store(path: Path) -> Steps[str]:
        with Folder(str(path)) as folder:
            yield folder
        return "stored"

    first, sound, second = await side_by_side(
        lambda: store(tmp_path), lambda: store(tmp_path / "sound"), lambda: store(tmp_path)
    )

    assert sound == "stored"
    assert isinstance(first, OSError)
    assert isinstance(second, OSError)
    assert first is not second
    assert first.errno == second.errno == 5


async def test_a_call_that_fails_leaves_the_others_alone(tmp_path: Path, side_by_side: Callable[..., Any]) -> None:
    """What one raises, at its beginning or in a later round, is its own."""

    def store(*, fails_at: int = -1) -> Steps[str]:
        for number in range(3):
            if number == fails_at:
                raise ValueError(number)
            with Folder(str(tmp_path)) as folder:
                yield folder
        return "stored"

    first, early, late, last = await side_by_side(store, lambda: store(fails_at=0), lambda: store(fails_at=2), store)

    assert (first, last) == ("stored", "stored")
    assert isinstance(early, ValueError)
    assert isinstance(late, ValueError)


async def test_a_folder_that_cannot_be_told_from_others_is_synced_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[int], side_by_side: Callable[..., Any]
) -> None:
    """No thread dies of a disk that does not even say what a folder is."""

    def fail(*_: object, **__: object) -> os.stat_result:
        raise OSError(5, "Input/output error")

    def store() -> Steps[str]:
        with Folder(str(tmp_path)) as folder:
            monkeypatch.setattr(os, "stat", fail)
            yield folder
        return "stored"

    assert await side_by_side(store, store) == ["stored", "stored"]
    assert len(synced) == 2


@asynccontextmanager
async def busy(threads: DiskThreads, *, count: int = 2) -> AsyncIterator[None]:
    """Brief calls wait, for the threads that do them are held until the block is left."""
    reached, released = [], threading.Event()

    def hold() -> Steps[None]:
        reached.append(threading.current_thread())
        assert released.wait(10)
        yield from ()

    held = [threads.start_steps(hold, is_brief=True) for _ in range(count)]
    with anyio.fail_after(10):
        while len(reached) < count:  # noqa: ASYNC110 - a thread tells nobody
            await anyio.sleep(0.001)
    yield
    released.set()
    for call in held:
        await threads.wait(call)


async def test_objects_stored_at_once_share_the_sync_of_their_folder(service: LocalStorageService, synced: list[int]) -> None:
    """Sixteen files are sixteen syncs, and their folder is one for each of the two threads."""
    await service.upload("folder/first", b"x")
    async with busy(service._threads):
        uploads = [asyncio.create_task(service.upload(f"folder/{number}", b"x")) for number in range(16)]
        await anyio.lowlevel.checkpoint()
        synced.clear()
    await asyncio.gather(*uploads)

    assert 17 <= len(synced) <= 18
    assert [await service.download(f"folder/{number}") for number in range(16)] == [b"x"] * 16


async def test_a_folder_that_is_not_synced_fails_every_upload_to_it(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that an object is safe because somebody else waited for the disk in its place."""
    await service.upload("folder/first", b"x")
    folder, fsync = os.stat(root / "objects" / "folder%"), os.fsync

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), folder):
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    async with busy(service._threads):
        uploads = [asyncio.create_task(service.upload(f"folder/{number}", b"x")) for number in range(8)]
        await anyio.lowlevel.checkpoint()
    found = await asyncio.gather(*uploads, return_exceptions=True)

    assert [type(error) for error in found] == [BackendUnavailable] * 8
    assert all(f"'folder/{number}'" in str(error) for number, error in enumerate(found))


async def test_a_cancelled_upload_leaves_those_beside_it_alone(service: LocalStorageService) -> None:
    """It stores nothing, and the others are stored."""
    await service.upload("folder/first", b"x")
    async with busy(service._threads):
        uploads = [asyncio.create_task(service.upload(f"folder/{number}", b"x")) for number in range(8)]
        await anyio.lowlevel.checkpoint()
        uploads[3].cancel()
        await anyio.lowlevel.checkpoint()
    await asyncio.gather(*uploads, return_exceptions=True)

    assert uploads[3].cancelled()
    assert [await service.exists(f"folder/{number}") for number in range(8)] == [number != 3 for number in range(8)]


async def test_few_threads_do_brief_calls_while_the_disk_is_quick() -> None:
    """Two take turns; a third would only contend for the interpreter."""
    threads = DiskThreads()
    async with busy(threads):
        calls = [threads.start_steps(_thread, is_brief=True) for _ in range(40)]
    found = {await threads.wait(call) for call in calls}

    assert len(found) <= 2
    threads.close()


async def test_all_threads_do_brief_calls_while_the_disk_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk whose syncs take long does many of them in one go, and so is given as many as there are threads."""
    monkeypatch.setattr(threads_module, "_SLOW_SECONDS", 0.0)
    threads, together = DiskThreads(), threading.Barrier(8)
    await threads.wait(threads.start_steps(_thread, is_brief=True))
    with anyio.fail_after(10):
        while threads._crew is None or threads._crew._most_turns < 8:  # noqa: ASYNC110 - noted once the result is told
            await anyio.sleep(0.001)

    def meet() -> Steps[int]:
        yield from ()
        return together.wait(10)

    calls = [threads.start_steps(meet, is_brief=True) for _ in range(8)]

    assert sorted([await threads.wait(call) for call in calls]) == list(range(8))
    threads.close()


async def test_a_call_does_not_wait_for_all_brief_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread goes back to the calls that wait for one after its share of the brief ones, however many have come since."""
    monkeypatch.setattr(threads_module, "_FEW", 1)
    monkeypatch.setattr(threads_module, "_MAX_THREADS", 1)
    threads, order = DiskThreads(), list[str]()

    def note(name: str) -> Steps[None]:
        order.append(name)
        yield from ()

    async with busy(threads, count=1):
        brief = threads.start_steps(note, "brief", is_brief=True)
        plain = threads.start(order.append, "plain")
    await threads.wait(plain)
    await threads.wait(brief)

    assert order == ["plain", "brief"]
    threads.close()


async def test_brief_calls_that_wait_at_the_end_are_done() -> None:
    """Those that nobody had begun when the service was closed are made all the same."""
    threads = DiskThreads()
    async with busy(threads):
        calls = [threads.start_steps(_thread, is_brief=True) for _ in range(20)]
        threads.close()

    with anyio.fail_after(10):
        assert len([await threads.wait(call) for call in calls]) == 20


def _thread() -> Steps[threading.Thread]:
    yield from ()
    return threading.current_thread()
