"""What is acknowledged is on the disk, what failed left nothing, and the event loop waited for neither."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from indiaai_core.errors import BackendUnavailable, InvalidRequest, ObjectExists, ObjectNotFound, StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService, folders, tree
from indiaai_storage_local.lookup import Lookup

pytestmark = pytest.mark.anyio

DISK_CALLS = (
    "open",
    "write",
    "fsync",
    "replace",
    "link",
    "mkdir",
    "unlink",
    "rmdir",
    "read",
    "scandir",
    "fstat",
    "stat",
    "close",
)


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """Give content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def leftovers(root: Path) -> list[str]:
    """Return the names of the files that are being written."""
    return os.listdir(root / "tmp")


async def test_a_short_write_is_continued(service: LocalStorageService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system call that takes a part of the bytes only is followed by another for the rest."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))

    await service.upload("bytes", b"0123456789" * 50)
    await service.upload("stream", pieces(b"0123456789" * 50, 33))

    assert await service.download("bytes") == b"0123456789" * 50
    assert await service.download("stream") == b"0123456789" * 50


async def test_a_disk_that_fills_up_leaves_the_old_object(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is taken in part and then fails for want of space is no object; a retry may help."""
    await service.upload("object", b"old")
    free = [100]
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if not free[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[: free[0]])
        free[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(BackendUnavailable, match=r"LOCAL_STORAGE_PATH .*store 'object': No space left on device") as raised:
            await service.upload("object", b"new" * 1000)
        with pytest.raises(BackendUnavailable, match="No space left"):
            await service.check()

    assert isinstance(raised.value.__cause__, OSError)
    assert await service.download("object") == b"old"
    assert leftovers(root) == []


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "flock"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
async def test_a_call_that_fails_leaves_the_old_object(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whichever system call fails, the error is ours and names the setting, and nothing is left of the upload."""
    await service.upload("folder/object", b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"fcntl.{call}" if call == "flock" else f"os.{call}", fail)
        if call == "open":
            patch.setattr(Lookup, "open", fail)
        for content in (b"new", pieces(b"new")):
            try:
                await service.upload("folder/object", content)
            except (BackendUnavailable, StorageError) as error:
                assert "LOCAL_STORAGE_PATH" in str(error)  # noqa: PT017 - a lock that fails is no error
                assert isinstance(error, BackendUnavailable) == (number == errno.EIO)  # noqa: PT017 - likewise
            else:
                assert call == "flock"

    assert await service.download("folder/object") == (b"new" if call == "flock" else b"old")
    assert leftovers(root) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
async def test_a_folder_that_cannot_be_made_is_said(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An upload whose folder the disk does not take is an error of ours, and leaves nothing."""
    await service.check()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail)
        with pytest.raises((BackendUnavailable, StorageError), match="LOCAL_STORAGE_PATH"):
            await service.upload("folder/object", b"new")

    assert not await service.exists("folder/object")
    assert leftovers(root) == []


@pytest.mark.parametrize(("number", "asked_instead"), [(0, False), (errno.ENOTSUP, True), (errno.EIO, False)])
async def test_on_macos_the_disk_empties_its_cache(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, asked_instead: bool
) -> None:
    """There fsync(2) leaves bytes in the disk's cache: another call is made, or where that is unknown, fsync all the same."""
    calls: list[str] = []

    class Known:
        F_FULLFSYNC = 51

        def fcntl(self, _: int, command: int) -> None:
            assert command == self.F_FULLFSYNC
            calls.append("F_FULLFSYNC")
            if number:
                raise OSError(number, os.strerror(number))

    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("object", b"old")
        monkeypatch.setattr(folders, "_fcntl", Known())
        monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
        if number == errno.EIO:
            with pytest.raises(BackendUnavailable, match="LOCAL_STORAGE_PATH"):
                await service.upload("object", b"new")
        else:
            await service.upload("object", b"new")
        content = await service.download("object")

    assert content == (b"old" if number == errno.EIO else b"new")
    assert ("fsync" in calls, "F_FULLFSYNC" in calls) == (asked_instead, True)


async def test_everything_is_synced_before_the_call_returns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then its name, then the folder; and the name of every folder that is new, up to the store's own."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def spy(descriptor: int) -> None:
        done.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def spy_replace(*arguments: Any, **options: Any) -> None:
        done.append(("replace", str(arguments[1])))
        replace(*arguments, **options)

    if not Path("/proc/self/fd").exists():
        pytest.skip("what a descriptor stands for is not known here")
    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(os, "replace", spy_replace)
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("a/b/object", b"x")
    synced = [path for name, path in done if name == "fsync"]
    place = done.index(("replace", "object"))

    assert synced.count(str(root)) >= 1
    assert {str(root.parent), str(root / "objects"), str(root / "objects/a%")} <= set(synced)
    assert any(path.startswith(str(root / "tmp/")) for name, path in done[:place] if name == "fsync")
    assert ("fsync", str(root / "objects/a%/b%")) in done[place:]


async def test_a_folder_that_another_made_is_synced_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a folder was there does not say that its name is on the disk: the first upload into it sees to that."""
    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as other:
        await other.upload("a/theirs", b"x")
    synced: list[tuple[int, int]] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(identity(descriptor))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("a/first", b"x")
        first = identity(root / "objects") in synced
        synced.clear()
        await service.upload("a/second", b"x")

    assert first
    assert identity(root / "objects") not in synced


async def test_without_fsync_nothing_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting trades the wait away, and nothing else."""
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("waited for the disk"))

    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as service:
        await service.upload("a/b", b"x")
        assert await service.download("a/b") == b"x"
        assert await service.delete("a/b")


@pytest.mark.parametrize("has_lookup", [True, False])
async def test_no_system_call_that_waits_runs_on_the_event_loop(
    service: LocalStorageService, monkeypatch: pytest.MonkeyPatch, has_lookup: bool
) -> None:
    """Whatever the disk does, the loop does not wait for it: what it does itself, the kernel has in memory."""
    if not has_lookup:
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)
    on_loop: list[str] = []
    loop_thread = threading.current_thread()

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is loop_thread:
                on_loop.append(name)
            return call(*arguments, **options)

        return watch

    for name in DISK_CALLS:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    monkeypatch.setattr(Lookup, "open", watched("openat2", Lookup.open))
    await service.check()
    await service.upload("a", b"x")
    await service.upload("b", pieces(b"x" * 3_000_000, 700_000))
    await service.upload("c", b"x", if_absent=True)
    await service.copy("b", "d/e")
    [chunk async for chunk in service.stream("b", chunk_size=1_000_000)]
    [info async for info in service.list()]
    assert await service.exists("a")
    assert await service.download("a") == b"x"
    await service.get_url("a")
    await service.delete("d/e")
    monkeypatch.undo()

    assert set(on_loop) <= ({"fstat", "close"} if has_lookup else set())


@pytest.mark.parametrize("call", ["open", "write", "fsync"])
async def test_a_cancelled_upload_ends_before_its_caller_goes_on(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A caller that is cancelled while the disk is waited for finds the old object, and no thread still at work."""
    await service.upload("object", b"old")
    service._tree._lookup = None
    service._tree.scratch._lookup = None
    with Slow(monkeypatch, call) as slow, anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(service.upload, "object", b"new" * 1_000_000)
            await slow.until_reached()
            group.cancel_scope.cancel()
            slow.released.set()

    assert await service.download("object") == b"old"
    assert leftovers(root) == []


async def test_a_task_that_is_cancelled_again_and_again_waits_all_the_same(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asyncio's own cancellation, repeated, neither leaves a file behind nor publishes one."""
    await service.upload("object", b"old")
    with Slow(monkeypatch, "fsync") as slow, anyio.fail_after(10):
        task = asyncio.create_task(service.upload("object", b"new"))
        await slow.until_reached()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        slow.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await service.download("object") == b"old"
    assert leftovers(root) == []


async def test_a_cancelled_read_leaves_no_file_open(service: LocalStorageService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was opened for a caller who is gone is closed."""
    await service.upload("object", b"x" * 100_000)
    before = open_files()
    with Slow(monkeypatch, "lseek") as slow, anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(service.open, "object")
            await slow.until_reached()
            group.cancel_scope.cancel()
            slow.released.set()

    assert open_files() == before


async def test_no_call_leaves_a_file_open(service: LocalStorageService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it succeeds or fails, what a call opened is closed when it is over; folders, when the service is."""
    at_first = open_files()
    await service.get_url("object")
    before = open_files()

    for content in (b"x", pieces(b"x" * 3000)):
        await service.upload("a/object", content)
    await service.copy("a/object", "b/copy")
    await service.stat("a/object")
    async for _ in service.stream("a/object", chunk_size=1000):
        continue
    [info async for info in service.list()]
    for key in ("a/missing", "missing/a"):
        with pytest.raises(ObjectNotFound):
            await service.download(key)
    with pytest.raises(ObjectExists):
        await service.upload("a/object", b"y", if_absent=True)
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(BackendUnavailable):
        await service.upload("a/object", b"y")

    assert open_files() == before + 2
    await service.aclose()
    assert open_files() == at_first


def no_space(_: int) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_files() -> int:
    """Return how many descriptors this process has open."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be counted here")
    return len(os.listdir("/proc/self/fd"))


class Slow:
    """Makes the first call of a system function wait until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Patch `os.<name>`."""
        self.reached, self.released = threading.Event(), threading.Event()
        self._patch, self._name, self._call = monkeypatch, name, getattr(os, name)

    def __enter__(self) -> Self:
        self._patch.setattr(os, self._name, self._wait)
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._patch.setattr(os, self._name, self._call)

    async def until_reached(self) -> None:
        """Wait until the call was made."""
        await anyio.to_thread.run_sync(self.reached.wait, 10)

    def _wait(self, *arguments: Any, **options: Any) -> Any:
        if not self.reached.is_set():
            self.reached.set()
            assert self.released.wait(10)
        return self._call(*arguments, **options)


async def test_a_stream_is_never_held_whole(service: LocalStorageService) -> None:
    """64 MiB go in and come out within 12 MiB of memory."""
    piece = b"x" * 100_000

    async def source() -> AsyncIterator[bytes]:
        for _ in range(671):
            yield piece[:]

    tracemalloc.start()
    try:
        await service.upload("large", source())
        size = 0
        async for chunk in service.stream("large"):
            size += len(chunk)
        await service.copy("large", "copy")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size == 67_100_000
    assert peak < 12 * 1024 * 1024


async def test_a_buffer_that_changes_while_it_is_stored_is_stored_as_it_was(service: LocalStorageService) -> None:
    """What is stored is what its digest says, whatever the owner of a bytearray does meanwhile."""
    buffer = bytearray(3_000_000)
    async with anyio.create_task_group() as group:
        group.start_soon(service.upload, "buffer", buffer)
        for number in range(2000):
            buffer[number * 1500] = number % 256
            await anyio.lowlevel.checkpoint()

    assert len(await service.download("buffer")) == 3_000_000


@pytest.mark.parametrize("data", ["text", 7, None, ["list"]])
async def test_what_is_not_bytes_is_refused(service: LocalStorageService, root: Path, data: Any) -> None:
    """Data of another type is InvalidRequest, and nothing is stored."""
    with pytest.raises(InvalidRequest, match=type(data).__name__):
        await service.upload("wrong", data)

    assert not await service.exists("wrong")
    assert leftovers(root) == []


async def test_a_stream_of_text_is_refused(service: LocalStorageService, root: Path) -> None:
    """A file in text mode and a stream that gives text are InvalidRequest."""

    async def text() -> AsyncIterator[str]:
        yield "text"

    (root.parent / "text").write_text("text")
    with (root.parent / "text").open() as file, pytest.raises(InvalidRequest, match="str"):
        await service.upload("wrong", file)  # type: ignore[arg-type] # what is tested is a wrong type
    with pytest.raises(InvalidRequest, match="str"):
        await service.upload("wrong", text())  # type: ignore[arg-type] # what is tested is a wrong type

    assert not await service.exists("wrong")


def identity(file: int | Path) -> tuple[int, int]:
    """Return what no other file has."""
    found = os.stat(file)
    return found.st_dev, found.st_ino
