"""What `indiaai storage cp` does; imported by that command when it is run."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import anyio
import anyio.to_thread

from indiaai_core.cli.location import STANDARD, Location, Place
from indiaai_core.cli.objects import open_store, print_tally
from indiaai_core.cli.output import Progress, print_failure
from indiaai_core.cli.running import Tally, each, run
from indiaai_core.errors import ObjectExists
from indiaai_core.platform import Platform
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, FileData, StorageService, normalize_key

__all__ = ["Copying"]

AT_ONCE = 8
"""How many objects are copied side by side."""

OCTETS = "application/octet-stream"

_KEPT = ("metadata", "cache_control", "content_disposition")


class _Pair(NamedTuple):
    """One object to be copied."""

    source: Place
    target: Place

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class Copying:
    """Copies as it was asked to; `copy` is the command, prints what came of it and returns the exit status."""

    def __init__(self, *, content_type: str | None, spares: bool, is_rehearsal: bool, as_json: bool) -> None:
        """Hold how.

        Args:
            content_type: The type to store; None: an object's own, or what a file's name says.
            spares: Whether what is there already is left.
            is_rehearsal: Whether to print what would be done, and do nothing.
            as_json: Whether a program reads it.
        """
        self._content_type = content_type
        self._spares = spares
        self._is_rehearsal = is_rehearsal
        self._as_json = as_json
        self._progress = Progress("copied", None)
        self._counts_bytes = False

    def copy(self, source: Place, target: Place, *, is_recursive: bool) -> int:
        """Copy one object, or all that is below a folder."""
        fault = next(_faults(source, target, is_recursive=is_recursive, as_json=self._as_json), None)
        if fault is not None:
            print_failure(fault)
            return 2
        tally = Tally()

        async def work(platform: Platform) -> int:
            pairs = self._below(platform, source, target) if is_recursive else _one(source, target)
            if self._is_rehearsal:
                tally.done = [str(pair) async for pair in pairs]
                return 0
            self._counts_bytes = not is_recursive
            with Progress("bytes copied" if self._counts_bytes else "copied", None) as self._progress:
                await each(pairs, partial(self._copy, platform), name=str, tally=tally, at_once=AT_ONCE)
            return tally.status

        status = run(work)
        if target != STANDARD or tally.refused or tally.error or self._is_rehearsal:
            print_tally(tally, "copied", as_json=self._as_json, is_rehearsal=self._is_rehearsal)
        return status

    async def _below(self, platform: Platform, source: Place, target: Place) -> AsyncIterator[_Pair]:
        if isinstance(source, Path):
            for path in await anyio.to_thread.run_sync(_files, source):
                yield _Pair(path, _joined(target, path.relative_to(source).as_posix()))
        elif isinstance(source, Location):
            async for info in open_store(platform, source.instance).list(source.folder):
                name = info.key.removeprefix(source.folder)
                yield _Pair(Location(source.instance, info.key), _joined(target, name))

    async def _copy(self, platform: Platform, pair: _Pair) -> None:
        source, target = pair
        if isinstance(target, Location):
            store = open_store(platform, target.instance)
            if isinstance(source, Location):
                await self._across(open_store(platform, source.instance), source, store, target)
            else:
                await self._put(source, store, target.key)
        elif isinstance(source, Location):
            store = open_store(platform, source.instance)
            await (self._write(store, source.key) if target == STANDARD else self._get(store, source.key, Path(target)))
        if not self._counts_bytes:
            self._progress.advance()

    async def _across(self, store: StorageService, source: Location, other: StorageService, target: Location) -> None:
        """Copy between stores with all that both can keep; within one the store does it."""
        if other is store and not self._content_type and not self._spares:
            await store.copy(source.key, target.key)
            return
        kept: dict[str, Any] = {}
        content_type = self._content_type or OCTETS
        if "stat" in store.capabilities:
            info = await store.stat(source.key)
            kept = {name: getattr(info, name) for name in _KEPT if name in store.capabilities & other.capabilities}
            content_type = self._content_type or info.content_type
        await self._upload(other, target.key, self._counted(store.stream(source.key)), content_type, **kept)

    async def _put(self, source: Path | str, store: StorageService, key: str) -> None:
        content_type = self._content_type or guess_type(key if source == STANDARD else str(source))[0] or OCTETS
        if source == STANDARD:
            await self._upload(store, key, self._counted(_chunks(sys.stdin.buffer)), content_type)
            return
        with await anyio.to_thread.run_sync(Path(source).open, "rb") as file:
            # A file is sent from where it is, which is faster than by its chunks, but nobody sees how far that is.
            data: FileData = self._counted(_chunks(file)) if sys.stderr.isatty() else cast(BinaryIO, file)
            await self._upload(store, key, data, content_type)

    async def _upload(self, store: StorageService, key: str, data: FileData, content_type: str, **kept: Any) -> None:
        if self._spares:
            kept["if_absent"] = True
        await store.upload(key, data, content_type, **kept)

    async def _get(self, store: StorageService, key: str, target: Path) -> None:
        """Store an object in a file, which has its name once all of it is there."""
        if self._spares and await anyio.Path(target).exists():
            raise ObjectExists(str(target))
        await anyio.to_thread.run_sync(partial(target.parent.mkdir, parents=True, exist_ok=True))
        draft = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            with await anyio.to_thread.run_sync(draft.open, "xb") as file:
                async for chunk in self._counted(store.stream(key)):
                    await anyio.to_thread.run_sync(file.write, chunk)
            os.replace(draft, target)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()

    async def _write(self, store: StorageService, key: str) -> None:
        async for chunk in self._counted(store.stream(key)):
            await anyio.to_thread.run_sync(sys.stdout.buffer.write, chunk)
        sys.stdout.buffer.flush()

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            if self._counts_bytes:
                self._progress.advance(len(chunk))


def _faults(source: Place, target: Place, *, is_recursive: bool, as_json: bool) -> Iterator[str]:
    """Say what was asked wrongly."""
    if not isinstance(source, Location) and not isinstance(target, Location):
        yield "Neither is in a store: write :KEY for a place in the store, or NAME:KEY for a named one."
    if is_recursive and STANDARD in (source, target):
        yield "A standard stream is one object: leave out --recursive."
    if as_json and target == STANDARD:
        yield "Standard output is the object itself: leave out --json."
    if source == STANDARD and _is_folder(target):
        yield f"Standard input has no name: write the whole key, such as {target}name."
    if isinstance(source, Path) and source.is_dir() and not is_recursive:
        yield f"{source} is a folder. To copy what is in it, add --recursive."
    if isinstance(source, Path) and is_recursive and not source.is_dir():
        yield f"{source} is no folder."


async def _one(source: Place, target: Place) -> AsyncIterator[_Pair]:
    name = "" if source == STANDARD else PurePosixPath(source.key if isinstance(source, Location) else str(source)).name
    yield _Pair(source, _joined(target, name) if _is_folder(target) else target)


def _is_folder(target: Place) -> bool:
    if isinstance(target, Location):
        return not target.key or target.key.endswith("/")
    return isinstance(target, Path) and target.is_dir()


def _joined(target: Place, name: str) -> Place:
    if isinstance(target, Location):
        return Location(target.instance, f"{target.folder}{name}")
    # A store that is not ours to trust may list what is no key, and would lead out of the folder.
    return Path(target, *normalize_key(name).split("/"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def _chunks(file: BinaryIO | Any) -> AsyncIterator[bytes]:
    while chunk := await anyio.to_thread.run_sync(file.read, DEFAULT_CHUNK_SIZE):
        yield chunk
