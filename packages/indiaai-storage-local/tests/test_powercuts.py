"""A power cut at any moment leaves the old object or the new one, and what was acknowledged is there.

The disk is modelled. What a file holds is on it as of its last fsync: nothing before that. A name that was made or removed in
a directory is on it for sure once that directory was synced; before, it may be there or not, each for itself. So every
set of names that are not synced yet is tried, after every single call.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest

from indiaai_storage_local import LocalSettings, LocalStorageService, tree
from indiaai_storage_local.lookup import Lookup

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a descriptor stands for is not known here"),
]

Objects = dict[str, bytes]

BEFORE: Objects = {"kept": b"kept", "a/b/target": b"old" * 1000}
NEW = b"new" * 50_000


async def stream() -> AsyncIterator[bytes]:
    """Give the new content in two pieces."""
    yield NEW[:100_000]
    yield NEW[100_000:]


async def empty_and_fill(service: LocalStorageService) -> None:
    """Remove a folder with its last object, and make it again: its number may be the same."""
    await service.delete("a/b/target")
    await service.upload("a/b/again", NEW)


SCENARIOS: dict[str, tuple[Callable[[LocalStorageService], Awaitable[Any]], tuple[Objects, ...]]] = {
    "replace": (lambda service: service.upload("a/b/target", NEW), (BEFORE, {**BEFORE, "a/b/target": NEW})),
    "stream": (lambda service: service.upload("a/b/target", stream()), (BEFORE, {**BEFORE, "a/b/target": NEW})),
    "add": (lambda service: service.upload("x/y/z/new", NEW), (BEFORE, {**BEFORE, "x/y/z/new": NEW})),
    "if_absent": (lambda service: service.upload("x/new", NEW, if_absent=True), (BEFORE, {**BEFORE, "x/new": NEW})),
    "copy": (lambda service: service.copy("kept", "a/b/target"), (BEFORE, {**BEFORE, "a/b/target": b"kept"})),
    "delete": (lambda service: service.delete("a/b/target"), (BEFORE, {"kept": b"kept"})),
    "again": (empty_and_fill, (BEFORE, {"kept": b"kept"}, {"kept": b"kept", "a/b/again": NEW})),
}
"""What is done, and what may be there afterwards: the last where it was acknowledged."""


async def objects_of(path: Path) -> Objects:
    """Return all that a store holds, read as a process does that starts when the power is back."""
    async with LocalStorageService(LocalSettings(path=path, fsync=False)) as service:
        return {info.key: await service.download(info.key) async for info in service.list()}


@pytest.fixture(params=["openat2", "openat"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "openat":
        monkeypatch.setattr(tree, "find_lookup", lambda _: None)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_power_cut_at_any_call_leaves_old_or_new(scenario: str, root: Path, tmp_path: Path) -> None:
    """After each call that changes the disk, and with any of the names that were not waited for, all objects are whole."""
    operation, allowed = SCENARIOS[scenario]
    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as service:
        for key, content in BEFORE.items():
            await service.upload(key, content)

    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        async with LocalStorageService(LocalSettings(path=root)) as service:
            await operation(service)

    cuts = list(disk.cuts())
    assert len(cuts) >= 3
    for number, (is_acknowledged, state) in enumerate(cuts):
        restore(state, root, tmp_path / str(number))
        assert await objects_of(tmp_path / str(number)) in (allowed[-1:] if is_acknowledged else allowed)


async def test_a_power_cut_leaves_the_secret_or_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is half there would stop the next start, and one that is lost would end links that were given away."""
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await service.check()
        disk = Disk(root, monkeypatch)
        secret = await service.secret()
    monkeypatch.undo()

    cuts = [(is_acknowledged, state.get(f"{root}/secret")) for is_acknowledged, state in disk.cuts()]

    assert {found for _, found in cuts} == {None, secret}
    assert {found for is_acknowledged, found in cuts if is_acknowledged} == {secret}


async def test_the_model_finds_a_name_that_is_not_waited_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the waits, the same operation leaves a torn object or loses an acknowledged one: the model can tell."""
    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as service:
        await service.upload("target", b"old")
        disk = Disk(root, monkeypatch)
        await service.upload("target", b"new")
    monkeypatch.undo()

    last = [state for is_acknowledged, state in disk.cuts() if is_acknowledged]

    assert any(state[f"{root}/objects/target"] == b"" for state in last)
    assert any(b"old" in (state[f"{root}/objects/target"] or b"") for state in last)


Change = tuple[str, str, str, Any]
"""`add` or `remove`, a directory, a name in it, and the file's number or None for a directory."""


class Disk:
    """Records what a service does to its directory, and tells what is there if the power is cut after any of it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take what is there for synced, and record from now on."""
        self.root = root
        self._contents: dict[int, bytes] = {}
        self._synced: list[Change] = []
        self._calls: list[tuple[str, Any]] = []
        for folder, folders, files in os.walk(root):
            self._synced += [("add", folder, name, None) for name in folders]
            for name in files:
                path = Path(folder, name)
                self._synced.append(("add", folder, name, path.stat().st_ino))
                self._contents[path.stat().st_ino] = path.read_bytes()
        for name in ("replace", "link", "mkdir", "unlink", "rmdir", "fsync"):
            monkeypatch.setattr(os, name, self._recording(name, getattr(os, name)))
        monkeypatch.setattr(os, "open", self._opening(os.open))
        monkeypatch.setattr(Lookup, "open", self._opening(Lookup.open))

    def cuts(self) -> Iterator[tuple[bool, dict[str, bytes | None]]]:
        """Yield what the disk may hold, by path (None for a directory), and whether that is after the last call."""
        synced, pending, contents = [*self._synced], [], dict(self._contents)
        seen: set[tuple[bool, frozenset[tuple[str, bytes | None]]]] = set()
        calls: list[tuple[str, Any]] = [("start", None), *self._calls]
        for number, (kind, what) in enumerate(calls):
            if kind == "change":
                pending.append(what)
            elif kind == "content":
                contents.update(what)
            elif kind == "sync":
                synced += [change for change in pending if change[1] == what]
                pending = [change for change in pending if change[1] != what]
            is_last = number == len(self._calls)
            for kept in _subsets(pending):
                state = self._state([*synced, *kept], contents)
                if (identity := (is_last, frozenset(state.items()))) not in seen:
                    seen.add(identity)
                    yield is_last, state

    def _state(self, changes: list[Change], contents: dict[int, bytes]) -> dict[str, bytes | None]:
        names: dict[str, int | None] = {}
        for kind, folder, name, number in changes:
            if kind == "add":
                names[f"{folder}/{name}"] = number
            else:
                names.pop(f"{folder}/{name}", None)
        found = {path: None if number is None else contents.get(number, b"") for path, number in names.items()}
        # A name in a directory whose own name was lost is lost with it.
        return {path: content for path, content in found.items() if self._is_reached(path, found)}

    def _is_reached(self, path: str, found: dict[str, bytes | None]) -> bool:
        above = os.path.dirname(path)
        return above == str(self.root) or (above in found and self._is_reached(above, found))

    def _recording(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any, **options: Any) -> Any:
            if name == "fsync":
                result = call(*arguments)
                self._note_sync(arguments[0])
                return result
            places = [_place(argument, option) for argument, option in zip(arguments, _folders(name, options), strict=False)]
            number = os.stat(places[0]).st_ino if name in ("replace", "link", "unlink") else None
            result = call(*arguments, **options)
            if name in ("replace", "unlink", "rmdir"):
                self._note("remove", places[0], number)
            if name in ("replace", "link", "mkdir"):
                self._note("add", places[-1], number)
            return result

        return record

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def record(*arguments: Any, **options: Any) -> int:
            descriptor = call(*arguments, **options)
            if any(isinstance(argument, int) and argument & os.O_CREAT for argument in arguments[1:3]):
                place = os.readlink(f"/proc/self/fd/{descriptor}")
                self._note("add", place, os.fstat(descriptor).st_ino)
            return descriptor

        return record

    def _note(self, kind: str, place: str, number: int | None) -> None:
        # Names in `tmp` make no difference: whatever is there is swept, which the crashes test.
        if os.path.dirname(place) != f"{self.root}/tmp":
            self._calls.append(("change", (kind, *os.path.split(place), number)))

    def _note_sync(self, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._calls.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        else:
            size = os.fstat(descriptor).st_size
            self._calls.append(("content", {os.fstat(descriptor).st_ino: os.pread(descriptor, size, 0)}))


def restore(state: dict[str, bytes | None], root: Path, target: Path) -> None:
    """Write down what a disk holds."""
    for path in sorted(state):
        place, content = target / Path(path).relative_to(root), state[path]
        if content is None:
            place.mkdir(parents=True)
        else:
            place.write_bytes(content)


def _subsets(changes: list[Change]) -> Iterator[tuple[Change, ...]]:
    assert len(changes) <= 10
    return chain.from_iterable(combinations(changes, count) for count in range(len(changes) + 1))


def _folders(name: str, options: dict[str, Any]) -> tuple[int | None, ...]:
    if name in ("replace", "link"):
        return options.get("src_dir_fd"), options.get("dst_dir_fd")
    return (options.get("dir_fd"),)


def _place(path: str, folder: int | None) -> str:
    return path if folder is None else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
