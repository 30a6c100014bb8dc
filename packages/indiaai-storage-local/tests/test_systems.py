"""What systems, disks and other users do to a store is told as it is, and the old object stays."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable, InvalidSettings, StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService
from indiaai_storage_local.lookup import Lookup, find_lookup

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="there are no such systems")]


def run(script: str, *arguments: object, before: tuple[str, ...] = ()) -> None:
    """Run a script in a process of its own, and fail with what it says if it fails."""
    command = [*before, sys.executable, "-c", PREAMBLE + script, *map(str, arguments)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


PREAMBLE = """
import asyncio, os, subprocess, sys
from pathlib import Path
from indiaai_core.errors import BackendUnavailable, InvalidSettings, StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService

root = Path(sys.argv[1])

async def told(kind, words, *calls):
    for call in calls:
        try:
            found = await call()
        except kind as error:
            assert "LOCAL_STORAGE_PATH" in str(error) and words in str(error), error
        else:
            raise SystemExit(f"expected {words}, got {found}")

def calls_of(service):
    return {
        "upload": lambda: service.upload("object", b"new"),
        "add": lambda: service.upload("new/object", b"new", if_absent=True),
        "copy": lambda: service.copy("object", "copy"),
        "delete": lambda: service.delete("object"),
        "download": lambda: service.download("object"),
        "stat": lambda: service.stat("object"),
        "list": lambda: anext(service.list()),
        "get_url": lambda: service.get_url("object"),
        "check": service.check,
    }
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode
    != 0
    if shutil.which("unshare")
    else True,
    reason="this user may not mount a disk of its own",
)
def test_a_real_disk_that_fills_up_or_is_taken_away_is_told(root: Path) -> None:
    """A disk that is full, then may only be read, then is unmounted: each is told, and the old object is there in between."""
    root.mkdir()

    run(MOUNTED, root, before=("unshare", "-rm"))


MOUNTED = """
def mount(*options):
    subprocess.run(["mount", *options], check=True)

async def main():
    mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", str(root))
    async with LocalStorageService(LocalSettings(path=root / "store")) as service:
        calls, old = calls_of(service), b"old" * 1000
        await service.upload("object", old)
        await service.upload("source", b"x" * 250_000)
        for call in (lambda: service.upload("object", b"n" * 900_000), lambda: service.copy("source", "object")):
            await told(BackendUnavailable, "No space left", call)
            assert await service.download("object") == old
            assert os.listdir(root / "store" / "tmp") == []

        mount("-o", "remount,ro", str(root))
        await told(StorageError, "Read-only", *(calls[name] for name in ("upload", "add", "copy", "delete", "get_url")))
        await told(InvalidSettings, "Read-only", calls["check"])
        async with LocalStorageService(LocalSettings(path=root / "store")) as started:
            assert await started.download("object") == await service.download("object") == old
            assert [info.key async for info in started.list()] == ["object", "source"]
        mount("-o", "remount,rw", str(root))
        await service.upload("object", old)
        await service.check()

        subprocess.run(["umount", "-l", str(root)], check=True)
        await told(BackendUnavailable, "", *calls.values())
        assert os.listdir(root) == []

asyncio.run(main())
"""


def test_a_store_of_another_user_is_read_and_not_written(tmp_path: Path) -> None:
    """What this user may not do is told by each call and by the check, and reading goes on."""
    # Whom root gives way to cannot pass the folders of root's own.
    place = Path(tempfile.gettempdir()) if os.geteuid() == 0 else tmp_path
    root = place / f"indiaai-{os.getpid()}"
    try:
        run(OTHERS, root)
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", root], check=False)
        shutil.rmtree(root)


OTHERS = """
def lose(path, mode=0o555):
    os.chmod(path, mode)

def mend(path):
    os.chmod(path, 0o755)

async def main():
    async with LocalStorageService(LocalSettings(path=root / "first")) as service:
        await service.upload("object", b"loads what is loaded late")
    if os.geteuid() == 0:  # who may do everything: so it becomes somebody else
        os.chown(root, 65534, 65534)
        os.seteuid(65534)
    await lose_and_mend()

async def lose_and_mend():
    async with LocalStorageService(LocalSettings(path=root)) as service:
        calls = calls_of(service)
        await service.upload("object", b"old")
        await service.upload("folder/object", b"old")
        (root / "closed").mkdir()
        lose(root / "closed")
        for path in (root / "closed", root / "closed" / "below"):
            async with LocalStorageService(LocalSettings(path=path)) as begun:
                await told(InvalidSettings, "Permission denied", begun.check)
                await told(StorageError, "Permission denied", lambda: begun.upload("object", b"x"))
        mend(root / "closed")

        for lost in ("objects", "tmp"):
            lose(root / lost)
            await told(StorageError, "Permission denied", *(calls[name] for name in ("upload", "add", "copy")))
            await told(InvalidSettings, "Permission denied", calls["check"])
            assert await service.download("object") == b"old"
            assert len([info async for info in service.list()]) == 2
            mend(root / lost)
            assert os.listdir(root / "tmp") == []
            await service.check()

        lose(root / "objects" / "object", 0)
        await told(StorageError, "Permission denied", *(calls[name] for name in ("download", "stat", "copy", "list")))
        assert await service.download("folder/object") == b"old"
        mend(root / "objects" / "object")

        lose(root / "objects", 0)
        await told(StorageError, "Permission denied", *(calls[name] for name in ("upload", "add", "copy", "download", "list")))
        await told(StorageError, "Permission denied", lambda: service.exists("object"), calls["delete"])
        mend(root / "objects")
        assert await service.download("object") == b"old"

asyncio.run(main())
"""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_made_as_the_umask_says_but_for_the_secret(root: Path, umask: int) -> None:
    """Who may read an object is for the process to say; the secret is its owner's alone, whatever it says."""
    run(MASKED, root, umask)

    made = {path: stat.S_IMODE((root / path).stat().st_mode) for path in (".", "objects", "objects/a%", "tmp")}
    assert made == dict.fromkeys(made, 0o777 & ~umask)
    assert stat.S_IMODE((root / "objects/a%/object").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o600


MASKED = """
os.umask(int(sys.argv[2]))

async def main():
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("a/object", b"x")
        await service.get_url("a/object")
        await service.check()

asyncio.run(main())
"""


async def test_a_check_finds_objects_on_another_file_system(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `objects` is a disk of its own nothing can be stored: that is told at the start, and not by the first upload."""
    await service.check()
    number, call = (root / "objects").stat().st_ino, os.stat

    def elsewhere(*arguments: Any, **options: Any) -> os.stat_result:
        found = call(*arguments, **options)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:])) if found.st_ino == number else found

    monkeypatch.setattr(os, "stat", elsewhere)

    with pytest.raises(InvalidSettings, match=os.strerror(errno.EXDEV)):
        await service.check()


@pytest.mark.parametrize("way", ["openat2", "openat"])
@pytest.mark.parametrize("key", ["A" * 1024, "/".join("A" * 512), "é" * 512, "a" * 255 + "/" + "B" * 768])
async def test_any_key_fits_below_a_long_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, key: str) -> None:
    """The directory and the key's names together may be longer than the 4 KiB that a system call takes."""
    if way == "openat":
        monkeypatch.setattr("indiaai_storage_local.tree.find_lookup", lambda _: None)
    root = tmp_path
    while len(str(root)) < 2000:
        root /= "long" * 50
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload(key, b"x")
        await service.upload(key, b"y")
        await service.copy(key, f"{key[:-1]}z")

        found = [info.key async for info in service.list()]
        content = await service.download(key), await service.download(f"{key[:-1]}z")
        deleted = [await service.delete(key) for _ in range(2)]

        assert sorted(found) == sorted({key, f"{key[:-1]}z"})
        assert content == (b"y", b"y")
        assert deleted == [True, False]


async def test_a_signal_in_the_middle_of_a_lookup_is_no_fault(service: LocalStorageService, root: Path) -> None:
    """A call that a slow file system broke off for a signal is made again, as Python's own are."""
    await service.upload("a/object", b"x" * 100_000)
    lookup = find_lookup(str(root))
    if lookup is None:
        pytest.skip("folders are opened one by one here")
    interrupted: list[str] = []

    def interrupting(call: Callable[..., int]) -> Callable[..., int]:
        def fail_or_call(*arguments: Any) -> int:
            interrupted.append("")
            return -1 if len(interrupted) % 3 else call(*arguments)

        return fail_or_call

    get_errno = lookup._get_errno
    lookup._get_errno = lambda: errno.EINTR if len(interrupted) % 3 else get_errno()
    lookup._waiting = interrupting(lookup._waiting)
    service._tree._lookup = service._tree.scratch._lookup = lookup

    found = await service.download("a/object")
    await service.upload("a/object", b"new")

    assert found == b"x" * 100_000
    assert len(interrupted) > 5


@pytest.mark.parametrize("name", ["ENOTCONN", "EHOSTDOWN", "ENODEV", "ENXIO", "ESTALE", "EIO", "EDQUOT", "EMFILE", "ETIMEDOUT"])
async def test_a_disk_that_went_away_is_unavailable(
    service: LocalStorageService, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A server or a device that does not answer may come back: a retry may help."""
    await service.upload("a/object", b"x" * 100_000)

    def fail(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(os, "open", fail)
    monkeypatch.setattr(Lookup, "open", fail)
    monkeypatch.setattr(Lookup, "open_folder", fail)

    for call in (lambda: service.download("a/object"), lambda: service.upload("a/object", b"y"), service.check):
        with pytest.raises(BackendUnavailable, match="LOCAL_STORAGE_PATH"):
            await call()


async def test_what_is_planted_among_the_files_that_are_written_leads_nowhere(service: LocalStorageService, root: Path) -> None:
    """A sweep follows no link, waits for no pipe, and takes a second name away without the file."""
    await service.upload("object", b"x")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"private")
    (root / "tmp" / "1-link").symlink_to(outside / "file")
    (root / "tmp" / "2-folder").symlink_to(outside)
    (root / "tmp" / "3-name").hardlink_to(outside / "file")
    (root / "tmp" / "4-object").hardlink_to(root / "objects" / "object")
    os.mkfifo(root / "tmp" / "5-pipe")

    with anyio.fail_after(10):
        async with LocalStorageService(LocalSettings(path=root)) as other:
            await other.upload("new", b"x")

    assert sorted(os.listdir(root / "tmp")) == ["1-link", "2-folder", "5-pipe"]
    assert (outside / "file").read_bytes() == b"private"
    assert await service.download("object") == b"x"


@pytest.mark.parametrize("part", ["tmp", "objects"])
async def test_a_part_of_the_store_that_is_a_link_is_refused(root: Path, part: str) -> None:
    """A store whose own folders lead elsewhere is not begun with, and nothing is written there."""
    outside = root.parent / "outside"
    outside.mkdir()
    root.mkdir()
    (root / part).symlink_to(outside)
    async with LocalStorageService(LocalSettings(path=root)) as service:
        for key in ("object", "a/object"):
            with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
                await service.upload(key, b"x")
        with pytest.raises(InvalidSettings, match="Not a directory"):
            await service.check()

    assert os.listdir(outside) == []


@pytest.mark.parametrize("planted", ["folder", "pipe", "link"])
@pytest.mark.parametrize("key", ["key", "a/key"])
async def test_what_stands_in_an_objects_place_is_told(
    service: LocalStorageService, root: Path, planted: str, key: str
) -> None:
    """A folder, a pipe or a link under an object's name is read by no call; what is replaced or removed is it alone."""
    await service.upload("kept", b"kept")
    place = root / "objects" / key.replace("/", "%/")
    place.parent.mkdir(exist_ok=True)
    outside = root.parent / "outside"
    outside.write_bytes(b"private")
    plant(planted, place, outside)

    with anyio.fail_after(10):
        for call in (service.download, service.stat, service.exists, lambda key: service.copy(key, "copy")):
            with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
                await call(key)
        found = [info.key async for info in service.list()]
        with pytest.raises(StorageError):
            await service.upload(key, b"x", if_absent=True)

    assert found == ["kept"]
    assert outside.read_bytes() == b"private"
    assert os.listdir(root / "tmp") == []


@pytest.mark.parametrize("planted", ["folder", "pipe", "link", "short"])
async def test_what_stands_in_the_secrets_place_signs_nothing(service: LocalStorageService, root: Path, planted: str) -> None:
    """A secret that somebody else may have made, by a link or a pipe, is refused, and so is one that is too short."""
    await service.check()
    place, outside = root / "secret", root.parent / "outside"
    outside.write_bytes(b"x" * 64)
    outside.chmod(0o600)
    if planted == "short":
        place.touch(0o600)
        place.write_bytes(b"x" * 31)
    else:
        plant(planted, place, outside)

    with anyio.fail_after(10):
        for call in (lambda: service.get_url("key"), lambda: service.get_upload_url("key"), service.check):
            with pytest.raises((StorageError, BackendUnavailable)):
                await call()


def plant(kind: str, place: Path, outside: Path) -> None:
    """Put something that is no file where one is expected."""
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(outside)
