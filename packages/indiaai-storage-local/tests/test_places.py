"""Whatever stands in the store's directory, no call leaves it, and what is wrong with it is said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable, InvalidSettings, ObjectNotFound, StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService, tree

pytestmark = pytest.mark.anyio


@pytest.fixture
async def outside(tmp_path: Path) -> Path:
    """A folder that is not the store's, with a file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "private").write_bytes(b"private")
    return folder


async def test_the_directory_is_made_at_first_use(root: Path) -> None:
    """Making a service touches nothing; the first call makes the directory and those above it."""
    service = LocalStorageService(LocalSettings(path=root / "deep" / "er"))
    before = root.exists()

    assert not await service.exists("anything")

    assert not before
    assert sorted(os.listdir(root / "deep" / "er")) == ["objects", "tmp"]
    await service.aclose()


async def test_a_relative_path_stays_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service goes on with its directory when the process changes its own."""
    monkeypatch.chdir(root.parent)
    service = LocalStorageService(LocalSettings(path=Path("relative")))
    await service.upload("object", b"x")

    monkeypatch.chdir("/")

    assert await service.download("object") == b"x"
    assert (root.parent / "relative" / "objects" / "object").exists()
    await service.aclose()


@pytest.mark.parametrize("below", ["", "folder"])
async def test_a_path_that_is_a_file_is_said(root: Path, below: str) -> None:
    """The check names the variable as a setting at fault, a call raises StorageError, and the file is left alone."""
    root.write_bytes(b"somebody's file")
    service = LocalStorageService(LocalSettings(path=root / below))

    with pytest.raises(InvalidSettings) as raised:
        await service.check()
    with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
        await service.upload("object", b"x")
    with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
        await service.download("object")

    assert [fault.variable for fault in raised.value.faults] == ["LOCAL_STORAGE_PATH"]
    assert str(root) in raised.value.faults[0].found
    assert root.read_bytes() == b"somebody's file"
    await service.aclose()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, InvalidSettings), (errno.EROFS, InvalidSettings), (errno.ENOSPC, BackendUnavailable)],
)
async def test_a_check_says_whether_a_retry_may_help(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """What never will work with these settings is their fault; a full disk is not."""
    service = LocalStorageService(LocalSettings(path=root))

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail)
        with pytest.raises(kind, match="LOCAL_STORAGE_PATH"):
            await service.check()

    await service.check()
    await service.aclose()


async def test_a_directory_that_is_gone_is_not_made_again(service: LocalStorageService, root: Path) -> None:
    """A store whose directory was removed, or whose disk was unmounted, is unavailable: it is not an empty one."""
    await service.upload("object", b"x")
    shutil.rmtree(root)
    root.mkdir()  # what is left of a mount point

    for call in (
        lambda: service.download("object"),
        lambda: service.upload("object", b"y"),
        lambda: service.delete("object"),
        lambda: service.stat("object"),
        lambda: anext(service.list()),
        service.check,
    ):
        with pytest.raises(BackendUnavailable, match=r"LOCAL_STORAGE_PATH .* is gone"):
            await call()

    assert os.listdir(root) == []


async def test_an_upload_whose_file_is_taken_away_says_so(service: LocalStorageService, root: Path) -> None:
    """Somebody who empties `tmp` meanwhile makes the upload fail, and not the object vanish."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        for name in os.listdir(root / "tmp"):
            (root / "tmp" / name).unlink()
        yield b"x"

    await service.upload("object", b"old")

    with pytest.raises(BackendUnavailable, match="was removed"):
        await service.upload("object", stream())
    assert await service.download("object") == b"old"


@pytest.mark.parametrize("place", ["leaf", "folder", "objects", "dangling"])
async def test_a_planted_link_leads_nowhere(service: LocalStorageService, root: Path, outside: Path, place: str) -> None:
    """A link in the place of an object, of a folder or of all of them is not followed, to read, write, list or delete."""
    await service.upload("kept", b"kept")
    if place == "leaf":
        (root / "objects" / "a%").mkdir()
        (root / "objects" / "a%" / "private").symlink_to(outside / "private")
    elif place == "dangling":
        (root / "objects" / "a%").symlink_to(root / "nowhere")
    elif place == "folder":
        (root / "objects" / "a%").symlink_to(outside)
    else:
        shutil.rmtree(root / "objects")
        (root / "objects").symlink_to(outside)
    key = "private" if place == "objects" else "a/private"

    with pytest.raises(StorageError):
        await service.download(key)
    found = await attempt(service, key)

    assert "private" not in found
    assert sorted(os.listdir(outside)) == ["private"]
    assert (outside / "private").read_bytes() == b"private"
    assert not (root / "nowhere").exists()


async def attempt(service: LocalStorageService, key: str) -> list[str]:
    """Do everything with a key, and return what is listed."""
    for call in (lambda: service.copy("kept", key), lambda: service.upload(key, b"mine"), lambda: service.delete(key)):
        try:
            await call()
        except StorageError:
            continue
    try:
        return [info.key async for info in service.list() if info.key != "kept"]
    except StorageError:
        return []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such links")
@pytest.mark.parametrize("way", ["openat2", "openat"])
async def test_no_race_leads_outside(
    service: LocalStorageService, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A folder that is a link for a moment, again and again, while calls run, takes none of them along."""
    if way == "openat":
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)
    await service.upload("a/private", b"ours")
    shutil.copy(root / "objects" / "a%" / "private", outside / "theirs")
    place, over = root / "objects" / "a%", threading.Event()

    def swap() -> None:
        for number in count():
            with suppress(OSError):  # an upload made it again meanwhile, or has not yet
                place.rename(root.parent / f"aside-{number}")
            with suppress(OSError):
                place.symlink_to(outside)
            with suppress(OSError):
                place.unlink()
            if over.is_set():
                return

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        outcomes = [await outcome(call) for _ in range(100) for call in calls(service)]
    finally:
        over.set()
        swapping.join()

    assert b"ours" not in outcomes  # which only the file outside could give under that key
    assert sorted(os.listdir(outside)) == ["private", "theirs"]
    assert (outside / "private").read_bytes() == b"private"


def calls(service: LocalStorageService) -> list[Callable[[], Awaitable[object]]]:
    """Return calls that would read, make or remove something outside, if they were led there."""
    return [
        lambda: service.download("a/theirs"),
        lambda: service.delete("a/theirs"),
        lambda: service.upload("a/private", b"ours"),
        lambda: service.upload("a/new", b"ours"),
    ]


async def outcome(call: Callable[[], Awaitable[object]]) -> object:
    """Return what a call gives, or which of our errors it raises."""
    try:
        return await call()
    except (StorageError, BackendUnavailable) as error:
        return type(error)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_file_that_may_not_grow_leaves_the_old_object(root: Path) -> None:
    """A limit of the system on the size of files, which takes a part of a write first, is an error, and nothing else."""
    outcome = subprocess.run([sys.executable, "-c", LIMITED, root], capture_output=True, text=True, check=False)

    assert outcome.returncode == 0, outcome.stderr


LIMITED = """
import asyncio, os, resource, sys
from pathlib import Path
from indiaai_core.errors import StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService, tree

async def main():
    async with LocalStorageService(LocalSettings(path=Path(sys.argv[1]))) as service:
        await service.upload("object", b"old")
        await service.upload("source", b"x" * 150_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for call in (
            lambda: service.upload("object", b"n" * 150_000),
            lambda: service.upload("object", open(os.path.join(sys.argv[1], "objects", "source"), "rb")),
            lambda: service.copy("source", "object"),
        ):
            try:
                await call()
            except StorageError as error:
                assert "LOCAL_STORAGE_PATH" in str(error) and "File too large" in str(error), error
            else:
                raise SystemExit("stored what does not fit")
            assert await service.download("object") == b"old"
            assert os.listdir(os.path.join(sys.argv[1], "tmp")) == []

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
async def test_a_planted_fifo_is_not_waited_for(service: LocalStorageService, root: Path) -> None:
    """What is no regular file is no object, and opening it does not hang."""
    await service.check()
    os.mkfifo(root / "objects" / "pipe")

    with anyio.fail_after(5), pytest.raises(StorageError, match="Not a regular file"):
        await service.download("pipe")
    assert [info.key async for info in service.list()] == []


async def test_files_of_others_are_not_listed(service: LocalStorageService, root: Path) -> None:
    """What no key is encoded to is nobody's object; it does not make a listing fail."""
    await service.upload("a/object", b"x")
    for name in (".DS_Store", "README", "a%/Thumbs.db", "%7A"):
        (root / "objects" / name).write_bytes(b"foreign")
    (root / "objects" / "folder").mkdir()

    assert [info.key async for info in service.list()] == ["a/object"]


async def test_leftovers_of_dead_processes_are_swept(service: LocalStorageService, root: Path) -> None:
    """The first use of a service removes what nobody holds, and neither what is being written nor what is no file."""
    started, finish = anyio.Event(), anyio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        started.set()
        await finish.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(service.upload, "alive", stream())
        await started.wait()
        (root / "tmp" / "123-dead").write_bytes(b"half")
        (root / "tmp" / "folder").mkdir()
        async with LocalStorageService(LocalSettings(path=root)) as other:
            await other.check()
        found = sorted(os.listdir(root / "tmp"))
        finish.set()

    assert len(found) == 2
    assert "123-dead" not in found
    assert len(await service.download("alive")) == 2_000_000


async def test_a_sweep_between_making_and_locking_a_file_costs_the_upload_nothing(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a sweeper takes the file before its writer has locked it, the writer makes another."""
    import fcntl

    await service.check()
    flock = fcntl.flock

    def sweep_first(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        for name in os.listdir(root / "tmp"):
            (root / "tmp" / name).unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)

    await service.upload("object", b"x")

    assert await service.download("object") == b"x"


async def test_two_sweepers_take_one_file_and_not_the_one_made_in_its_place(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper that opened what another has removed since leaves the file that its writer made instead."""
    import fcntl

    await service.check()
    flock, fsync = fcntl.flock, os.fsync
    opened, remade = threading.Event(), threading.Event()
    late = threading.Thread(target=service._tree.scratch.sweep)

    def lock(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            opened.set()
            assert remade.wait(30)
        elif not opened.is_set():
            late.start()
            assert opened.wait(30)
            for name in os.listdir(root / "tmp"):
                (root / "tmp" / name).unlink()
        flock(descriptor, how)

    def sync(descriptor: int) -> None:
        remade.set()
        late.join(30)
        fsync(descriptor)

    monkeypatch.setattr(fcntl, "flock", lock)
    monkeypatch.setattr(os, "fsync", sync)

    await service.upload("object", b"x")

    assert await service.download("object") == b"x"


async def test_folders_that_hold_nothing_are_removed(service: LocalStorageService, root: Path) -> None:
    """A delete takes the folders along that were there for its object only."""
    await service.upload("a/b/c/object", b"x")
    await service.upload("a/other", b"x")

    await service.delete("a/b/c/object")

    assert os.listdir(root / "objects" / "a%") == ["other"]


async def test_a_folder_that_is_removed_meanwhile_is_made_again(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that finds its folder gone for being empty makes it again."""
    replace = os.replace
    removed: list[object] = []

    def remove_first(*arguments: object, **options: object) -> None:
        if len(removed) < 5:
            (root / "objects" / "a%").rmdir()
            removed.append(arguments)
        replace(*arguments, **options)  # type: ignore[arg-type] # what it was called with

    monkeypatch.setattr(os, "replace", remove_first)

    await service.upload("a/object", b"x")

    assert len(removed) == 5
    assert await service.download("a/object") == b"x"


async def test_an_object_that_goes_while_it_is_listed_is_passed_over(service: LocalStorageService, root: Path) -> None:
    """What was in the folder and is gone by the time it is looked at is not given, and no error."""
    for number in range(150):
        await service.upload(f"folder/{number:03}", b"x")

    found = []
    async for info in service.list():
        found.append(info.key)
        if len(found) == 1:
            shutil.rmtree(root / "objects" / "folder%")

    assert len(found) == 100  # the page that was read before
    with pytest.raises(ObjectNotFound):
        await service.download("folder/000")


async def test_a_folder_that_changes_while_it_is_read_is_read_again(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that a file system passes over because it is replaced meanwhile is found at the second look."""
    for key in ("a", "b"):
        await service.upload(key, b"x")
    scandir = os.scandir
    looks = []

    def passing_over(place: int) -> object:
        looks.append(place)
        if len(looks) > 1:
            return scandir(place)
        os.utime(root / "objects", ns=(0, len(looks)))
        return scandir(root / "tmp")

    monkeypatch.setattr(os, "scandir", passing_over)

    assert [info.key async for info in service.list()] == ["a", "b"]
