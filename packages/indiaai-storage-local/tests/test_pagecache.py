"""What the system has in memory is read without a thread, and never waited for, and never wrong."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidKey, ObjectNotFound, StorageError
from indiaai_core.testing import Fetch
from indiaai_storage_local import LocalSettings, LocalStorageService, tree
from indiaai_storage_local.files import Digests, Label, seal
from indiaai_storage_local.lookup import find_lookup

pytestmark = pytest.mark.anyio


@pytest.fixture
async def threads(service: LocalStorageService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that went to a thread; the service is in use already, on a file system that can do without."""
    await service.upload("probe", b"x")
    if not service._tree.load("probe"):
        pytest.skip("this system or file system does not say what it has in memory")
    calls: list[str] = []
    start = service._threads.start

    def watch(function: Callable[..., Any], *args: Any) -> Any:
        calls.append(function.__name__)
        return start(function, *args)

    monkeypatch.setattr(service._threads, "start", watch)
    return calls


@pytest.mark.parametrize("key", ["a/small.txt", "हिन्दी/पत्र 1.pdf", "A/con", "long" * 60, "e\u0301"])
async def test_a_small_object_needs_no_thread(service: LocalStorageService, http: Fetch, threads: list[str], key: str) -> None:
    """All that reads an object is done where it is asked for: content, ranges, what is known, and a link's answer."""
    await service.upload(key, b"content" * 500, "text/plain", metadata={"a": "b"}, cache_control="no-store")
    url = await service.get_url(key)
    threads.clear()

    assert await service.download(key) == b"content" * 500
    assert [chunk async for chunk in service.stream(key, start=7, end=21, chunk_size=7)] == [b"content"] * 2
    assert (await service.stat(key)).metadata == {"a": "b"}
    assert await service.exists(key)
    assert (await http("GET", url)).body == b"content" * 500

    assert threads == []


async def test_a_c_library_that_cannot_tell_is_not_asked(service: LocalStorageService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without preadv2(2), as on Alpine Linux before 3.20, threads read."""
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)

    await service.upload("key", b"content")

    assert await service.download("key") == b"content"


async def test_what_is_not_there_is_looked_for_in_a_thread(service: LocalStorageService, threads: list[str]) -> None:
    """Only the disk can tell that there is no such object, or no such store."""
    with pytest.raises(ObjectNotFound):
        await service.download("missing")
    with pytest.raises(InvalidKey):
        await service.download("a//b")

    assert threads == ["read"]


@pytest.mark.parametrize("size", [65_000, 66_000])
async def test_a_large_object_is_read_in_a_thread(service: LocalStorageService, threads: list[str], size: int) -> None:
    """The event loop is not held up by a digest over much."""
    await service.upload("object", b"x" * size)
    threads.clear()

    assert await service.download("object") == b"x" * size
    assert threads == (["read"] if size > 65_536 else [])


@pytest.mark.parametrize(("number", "tries"), [(errno.EAGAIN, 2), (errno.EOPNOTSUPP, 1)])
async def test_what_would_have_to_be_waited_for_is_read_in_a_thread(
    service: LocalStorageService, threads: list[str], monkeypatch: pytest.MonkeyPatch, number: int, tries: int
) -> None:
    """A page that is not in memory is fetched in a thread; a file system that cannot tell is not asked again."""
    asked = []

    def refuse(*_: object) -> int:
        asked.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", refuse)
    threads.clear()

    assert [await service.download("probe"), await service.download("probe")] == [b"x", b"x"]
    assert len(asked) == tries
    assert threads == ["read", "read"]


async def test_a_read_that_ends_early_is_not_taken_for_the_whole(
    service: LocalStorageService, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what is in memory looks like an object of its own: one within the other."""
    inner = b"inner" + seal(Digests(), size=5, label=Label("a/b"))
    await service.upload("outer", inner)
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, into, *rest: preadv(file, [memoryview(into[0])[: len(inner)]], *rest))
    threads.clear()

    assert await service.download("outer") == inner
    assert threads == ["read"]


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "footer", "foreign"])
async def test_a_damaged_object_is_never_given(
    service: LocalStorageService, root: Path, threads: list[str], damage: str
) -> None:
    """Whatever is wrong with a file that is in memory, it is the same error as from the disk."""
    path = root / "objects" / "probe"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "bit": b"y" + whole[1:],
            "cut": whole[:-1],
            "empty": b"",
            "footer": whole[:-16] + b"\0" * 16,
            "foreign": b"somebody else's file, longer than a footer",
        }[damage]
    )

    with pytest.raises(StorageError, match="'probe' is corrupt"):
        await service.download("probe")


async def test_a_planted_link_is_not_followed(service: LocalStorageService, root: Path, threads: list[str]) -> None:
    """Neither in the place of the object nor on the way to it, nor to a whole object elsewhere."""
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "private").write_bytes((root / "objects" / "probe").read_bytes())
    (root / "objects" / "linked").symlink_to(elsewhere / "private")
    (root / "objects" / "folder%").symlink_to(elsewhere)

    for key in ("linked", "folder/private"):
        with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
            await service.download(key)
        with pytest.raises(StorageError, match="LOCAL_STORAGE_PATH"):
            await service.stat(key)


async def test_a_store_that_was_swapped_is_the_new_one(service: LocalStorageService, root: Path, threads: list[str]) -> None:
    """A backup that is put in the store's place is what is read and written from then on."""
    root.rename(root.parent / "old")
    async with LocalStorageService(LocalSettings(path=root)) as restored:
        await restored.upload("probe", b"restored")

    found = await service.download("probe")
    await service.upload("more", b"x")

    assert found == b"restored"
    assert (root / "objects" / "more").exists()


async def test_others_have_their_turn(service: LocalStorageService, threads: list[str]) -> None:
    """A task that does nothing but read lets the event loop go on."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        for _ in range(1000):
            await service.download("probe")
        group.cancel_scope.cancel()

    assert turns >= 100
    assert threads == []


async def test_a_store_behind_a_link_is_served_alike(root: Path, threads: list[str]) -> None:
    """The directory itself may be reached by links: only below it there are none."""
    (root.parent / "link").symlink_to(root)
    async with LocalStorageService(LocalSettings(path=root.parent / "link")) as service:
        await service.upload("linked", b"x")

        assert service._tree.load("linked") is not None
        assert await service.download("probe") == b"x"


async def test_without_the_system_call_all_is_read_in_threads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older kernels, other systems, and containers that forbid it."""
    monkeypatch.setattr(tree, "find_lookup", lambda _: None)
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.upload("object", b"x")

        assert service._tree.load("object") is None
        assert await service.download("object") == b"x"


@pytest.mark.parametrize("platform", ["darwin", "win32", "linux"])
def test_the_system_call_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str) -> None:
    """Another system is not asked, and one that has not the directory has not the call."""
    monkeypatch.setattr("sys.platform", platform)

    assert find_lookup(str(tmp_path / "missing")) is None
    assert platform == "linux" or find_lookup(str(tmp_path)) is None
