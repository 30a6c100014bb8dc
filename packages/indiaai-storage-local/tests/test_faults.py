"""A system call that fails, whichever it is, is told to the caller, and leaves the old object and nothing beside it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from indiaai_core.errors import BackendUnavailable, StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService, tree
from indiaai_storage_local.lookup import Lookup

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted here"),
]

CALLS = (
    *("open", "close", "dup", "fstat", "stat", "lseek", "read", "write", "copy_file_range", "fsync"),
    *("replace", "link", "mkdir", "unlink", "rmdir", "scandir"),
)
SHORT, LASTING = 0, -errno.EIO
"""Beside the errors that a call may fail with: it does half of what it is asked for; it and all others fail from then on."""

WAYS = {
    "openat2": (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, SHORT, LASTING),
    "openat": (errno.EIO, SHORT, LASTING),
}
"""With which of them each way to open folders is tried."""

CUT: dict[str, Callable[..., tuple[Any, ...]]] = {
    "write": lambda descriptor, content: (descriptor, bytes(content)[: len(content) // 2]),
    "read": lambda descriptor, size: (descriptor, size // 2),
    "copy_file_range": lambda source, target, size, start: (source, target, size // 2, start),
}

QUIET = {"", "close", "copy_file_range", "dup", "rmdir", "stat", "unlink"}
"""The calls without which an operation can do what it is to do: it need not tell of them. Nor need a deletion of an `open`
with which it looks for folders that are empty now; that the object's own was told shows the object."""

OLD, NEW = b"old" * 1000, b"new" * 50_000

Objects = dict[str, bytes]
Operation = Callable[[LocalStorageService, str], Awaitable[Any]]


async def stream() -> AsyncIterator[bytes]:
    """Give the new content in two pieces."""
    yield NEW[:100_000]
    yield NEW[100_000:]


async def read(service: LocalStorageService, folder: str) -> None:
    """Read an object in each of the ways that there are."""
    assert b"".join([chunk async for chunk in service.stream(f"{folder}large", chunk_size=100_000)]) == NEW
    assert await service.download(f"{folder}large") == NEW
    assert len([info async for info in service.list(folder)]) == 2


OPERATIONS: dict[str, tuple[Operation, Objects]] = {
    "add": (lambda service, folder: service.upload(f"{folder}x/y/new", OLD), {"x/y/new": OLD}),
    "replace": (lambda service, folder: service.upload(f"{folder}a/target", NEW), {"a/target": NEW}),
    "stream": (lambda service, folder: service.upload(f"{folder}a/target", stream()), {"a/target": NEW}),
    "if_absent": (lambda service, folder: service.upload(f"{folder}x/new", NEW, if_absent=True), {"x/new": NEW}),
    "copy": (lambda service, folder: service.copy(f"{folder}large", f"{folder}a/target"), {"a/target": NEW}),
    "delete": (lambda service, folder: service.delete(f"{folder}a/target"), {"a/target": b""}),
    "read": (read, {}),
}
"""What is done, and what it changes; nothing stands for no object."""


@pytest.mark.parametrize(("way", "number"), [(way, number) for way, numbers in WAYS.items() for number in numbers])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_fault_at_any_system_call_is_told_and_leaves_the_old_object(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str, number: int
) -> None:
    """Each call of an operation fails in turn: the store is as before, and works again when the disk does."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    if way == "openat":
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)
    for turn in count():
        folder = f"f{turn}/"
        before, after = await prepare(service, folder, OPERATIONS[name][1])
        held = files_held(service)

        fault, told = await attempt(service, folder, OPERATIONS[name][0], turn=turn, number=number)

        assert files_held(service) == held, fault
        found = {info.key: await service.download(info.key) async for info in service.list(folder)}
        # What has its place already cannot be taken back without a race: it is done, and told if the disk did not confirm it.
        assert found == (before if told and "it is done" not in told else after), f"{fault}: {told}"
        assert told or number == SHORT or fault.call in QUIET or (name == "delete" and "open" in fault.call), fault
        for path in (root / "tmp").iterdir():
            assert fault.call == "unlink" or number == LASTING, fault
            path.unlink()
        if not fault.call:
            break
        await service.upload(f"{folder}a/target", b"works")
    assert turn > 9 or number == SHORT


@pytest.mark.parametrize("number", [errno.EIO, LASTING])
async def test_a_fault_at_any_system_call_of_the_first_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Each call that makes the directory and its secret fails in turn: the next use makes what is missing."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for turn in count():
        root = tmp_path / f"{turn}" / "store"
        async with LocalStorageService(LocalSettings(path=root)) as service:
            held = files_held(service)

            fault, told = await attempt(service, "", lambda service, _: service.get_url("key"), turn=turn, number=number)

            assert files_held(service) == held, fault
            assert told or fault.call not in ("fsync", "mkdir", "link", "write"), fault
            assert (await service.get_url("key")).startswith("/_indiaai")
            await service.check()
        if not fault.call:
            break
    assert turn > 20


async def prepare(service: LocalStorageService, folder: str, changes: Objects) -> tuple[Objects, Objects]:
    """Store what is there before, and return it and what is to be there when the operation is done."""
    before = {f"{folder}large": NEW, f"{folder}a/target": OLD}
    for key, content in before.items():
        await service.upload(key, content)
    after = before | {folder + key: content for key, content in changes.items()}
    return before, {key: content for key, content in after.items() if content}


async def attempt(
    service: LocalStorageService, folder: str, operation: Operation, *, turn: int, number: int
) -> tuple[Fault, str]:
    """Do the operation while the disk fails, and return what failed and what was told."""
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, turn=turn, number=number)
        try:
            await operation(service, folder)
        except (BackendUnavailable, StorageError) as error:
            if "LOCAL_STORAGE_PATH" in str(error) and isinstance(error, BackendUnavailable) == (number != errno.EROFS):
                return fault, str(error)
            raise
    return fault, ""


class Fault:
    """Makes one call of the service's threads fail: that whose turn it is.

    Attributes:
        call: Which one did; empty if none.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, turn: int, number: int) -> None:
        """Let as many calls pass as `turn` says."""
        self.call = ""
        self._remaining, self._number = turn, number
        for name in CALLS:
            if hasattr(os, name) and (number != SHORT or name in CUT):
                patch.setattr(os, name, self._failing(name, getattr(os, name)))
        if number != SHORT:
            patch.setattr(Lookup, "open", self._failing("openat2", Lookup.open))
            patch.setattr(Lookup, "open_folder", self._failing("openat2", Lookup.open_folder))

    def __repr__(self) -> str:
        """Say what failed."""
        return f"{self.call} with {self._number}"

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def fail_or_call(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread().name != "indiaai-storage-local":
                return call(*arguments, **options)
            self._remaining -= 1
            if self._remaining > -1 or (self._remaining < -1 and self._number != LASTING):
                return call(*arguments, **options)
            self.call = self.call or name
            if self._number == SHORT:
                return call(*CUT[name](*arguments))
            if name == "close":  # it is closed all the same
                call(*arguments)
            raise OSError(abs(self._number), os.strerror(abs(self._number)))

        return fail_or_call


def files_held(service: LocalStorageService) -> int:
    """Return how many descriptors are open, without the folders that are remembered."""
    return len(os.listdir("/proc/self/fd")) - len(service._tree._anchors._known)
