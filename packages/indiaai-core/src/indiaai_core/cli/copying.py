"""What `indiaai storage cp` does; imported by that command when it is run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from functools import partial
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import anyio
import anyio.to_thread

from indiaai_core.cli.drafts import Draft, is_draft, sweep
from indiaai_core.cli.location import STANDARD, Location, Place
from indiaai_core.cli.manner import Manner, faults, is_folder
from indiaai_core.cli.objects import open_store, print_tally
from indiaai_core.cli.output import Progress, print_failure
from indiaai_core.cli.running import Tally, each, run
from indiaai_core.cli.updating import find_version, is_due, is_surely_newer
from indiaai_core.errors import ObjectExists, ObjectNotFound, StorageError
from indiaai_core.platform import Platform
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, FileData, ObjectInfo, StorageService, normalize_key
from indiaai_core.storage.meeting import meet
from indiaai_core.storage.transfer import TIMES, Spot, transfer

__all__ = ["Copying"]

AT_ONCE = 8
"""How many objects are copied side by side."""

LOOK_AGAIN_SECONDS = 1.0
"""After how long two are looked at again of which the times do not tell the newer."""

OCTETS = "application/octet-stream"


class _Pair(NamedTuple):
    """One object to be copied, and what was listed at either place, if it was."""

    source: Place
    target: Place
    here: ObjectInfo | None = None
    there: ObjectInfo | None = None

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class Copying:
    """Copies as it was asked to; `copy` is the command, prints what came of it and returns the exit status."""

    def __init__(self, manner: Manner) -> None:
        """Hold how."""
        self._manner = manner
        self._progress = Progress("copied", None)
        self._strays: list[Location] = []
        self._has_source = False
        self._swept: set[Path] = set()

    def copy(self, source: Place, target: Place) -> int:
        """Copy one object, or all that is below a folder."""
        fault = next(faults(source, target, manner=self._manner), None)
        if fault is not None:
            print_failure(fault)
            return 2
        tally, deleted = Tally(), Tally()

        async def work(platform: Platform) -> int:
            pairs = self._below(platform, source, target) if self._manner.is_recursive else _one(source, target)
            do = partial(self._copy, platform)
            with Progress("copied" if self._manner.is_recursive else "bytes copied", None) as self._progress:
                await each(pairs, do, name=str, tally=tally, at_once=AT_ONCE)
            if self._strays and not tally.error:
                await self._delete_strays(platform, source, target, tally=deleted)
            return tally.status or deleted.status

        status = run(work)
        if target != STANDARD or tally.refused or tally.error or self._manner.is_rehearsal:
            self._print(tally, deleted)
        return status

    def _print(self, tally: Tally, deleted: Tally) -> None:
        as_json, is_rehearsal = self._manner.as_json, self._manner.is_rehearsal
        tally.refused |= deleted.refused
        tally.error = tally.error or deleted.error
        also = {"deleted": deleted.done} if self._manner.deletes else {}
        print_tally(tally, "copied", as_json=as_json, is_rehearsal=is_rehearsal, also=also)

    async def _below(self, platform: Platform, source: Place, target: Place) -> AsyncIterator[_Pair]:
        if isinstance(source, Path):
            for path in await anyio.to_thread.run_sync(_files, source):
                yield _Pair(path, _joined(target, path.relative_to(source).as_posix()))
        elif isinstance(source, Location):
            store = open_store(platform, source.instance)
            other = open_store(platform, target.instance) if isinstance(target, Location) else None
            if self._manner.updates and isinstance(target, Location) and other and "list" in other.capabilities:
                async for pair in self._met(store, other, source=source, target=target):
                    yield pair
                return
            async for info in store.list(source.folder):
                name = info.key.removeprefix(source.folder)
                yield _Pair(Location(source.instance, info.key), _joined(target, name), info)

    async def _met(
        self, store: StorageService, other: StorageService, *, source: Location, target: Location
    ) -> AsyncIterator[_Pair]:
        """Give what is not surely newer in the target, and keep what is in the target alone."""
        async for name, here, there in meet(
            store.list(source.folder), other.list(target.folder), folders=(source.folder, target.folder)
        ):
            self._has_source = self._has_source or here is not None
            if here is None:
                self._strays += [Location(target.instance, f"{target.folder}{name}")] if self._manner.deletes else []
            elif there is None or not (self._manner.spares or is_surely_newer(there, here, is_copy=self._manner.deletes)):
                yield _Pair(Location(source.instance, here.key), _joined(target, name), here, there)

    async def _copy(self, platform: Platform, pair: _Pair) -> bool:
        """Copy one, and return False where it was left."""
        for _ in range(TIMES):
            try:
                has_to_be, is_new = await self._look(platform, pair) if self._manner.updates else (True, False)
                if has_to_be and not self._manner.is_rehearsal:
                    await self._bring(platform, pair, is_new=is_new)
            except ObjectExists:
                if self._manner.spares and not self._manner.updates:
                    raise
                continue  # somebody stored it meanwhile: which of the two is the newer?
            except ObjectNotFound:  # deleted since it was listed
                if not (self._manner.updates and self._manner.is_recursive):
                    raise
                return False
            if has_to_be and self._manner.is_recursive:
                self._progress.advance()
            return has_to_be
        raise StorageError(
            f"The target said {TIMES} times that it has none, and that it has one as soon as it was to be stored. Either it is "
            "stored and deleted all the time, or the store is at odds with itself. To store it all the same, copy it without "
            "--update."
        )

    async def _look(self, platform: Platform, pair: _Pair) -> tuple[bool, bool]:
        """Return whether one has to be copied, and whether the target has none."""
        has_to_be: bool | None = None
        for is_again in (False, True):
            listed = (None, None) if is_again else (pair.here, pair.there)
            there = await find_version(platform, pair.target, listed=listed[1])
            if there is None or self._manner.spares:
                return there is None, there is None
            here = await find_version(platform, pair.source, listed=listed[0], is_listed=True)
            has_to_be = here is None or await is_due(here, there, is_copy=self._manner.deletes)
            if has_to_be is not None:
                return has_to_be, False
            if not is_again:  # so it is, too, of what an application is storing in both right now
                await anyio.sleep(LOOK_AGAIN_SECONDS)
        raise StorageError(
            "Both were stored within one second, and differ. The times do not tell which is the newer, and the target was "
            "left. To take the source's, copy it without --update."
        )

    async def _bring(self, platform: Platform, pair: _Pair, *, is_new: bool) -> None:
        source, target = pair.source, pair.target
        if isinstance(target, Location):
            spot = Spot(open_store(platform, target.instance), target.key)
            if_absent = self._manner.spares or (is_new and "if_absent" in spot.store.capabilities)
            if isinstance(source, Location):
                await self._across(Spot(open_store(platform, source.instance), source.key), spot, if_absent=if_absent)
            else:
                await self._put(source, spot, if_absent=if_absent)
        elif isinstance(source, Location):
            store = open_store(platform, source.instance)
            await (self._write(store, source.key) if target == STANDARD else self._get(store, source.key, Path(target)))

    async def _across(self, source: Spot, target: Spot, *, if_absent: bool) -> None:
        """Copy between stores with all that both can keep; within one the store does it."""
        content_type = self._manner.content_type
        if source.store is target.store and not content_type and not if_absent:
            await source.store.copy(source.key, target.key)
        elif "stat" in source.store.capabilities:
            found = await source.store.stat(source.key)
            on_chunk = self._count
            await transfer(source, target, found=found, content_type=content_type, if_absent=if_absent, on_chunk=on_chunk)
        else:
            chunks = self._counted(source.store.stream(source.key))
            await _upload(target, chunks, content_type or OCTETS, if_absent=if_absent)

    async def _put(self, source: Path | str, target: Spot, *, if_absent: bool) -> None:
        named = target.key if source == STANDARD else str(source)
        content_type = self._manner.content_type or guess_type(named)[0] or OCTETS
        if source == STANDARD:
            await _upload(target, self._counted(_chunks(sys.stdin.buffer)), content_type, if_absent=if_absent)
            return
        with await anyio.to_thread.run_sync(Path(source).open, "rb") as file:
            # A file is sent from where it is, which is faster than by its chunks, but nobody sees how far that is.
            data: FileData = self._counted(_chunks(file)) if sys.stderr.isatty() else cast(BinaryIO, file)
            await _upload(target, data, content_type, if_absent=if_absent)

    async def _get(self, store: StorageService, key: str, target: Path) -> None:
        """Store an object in a file, which has its name once all of it is there."""
        if self._manner.spares and await anyio.Path(target).exists():
            raise ObjectExists(str(target))
        await anyio.to_thread.run_sync(self._prepare, target.parent)
        with Draft(target.parent) as draft:
            async for chunk in self._counted(store.stream(key)):
                await anyio.to_thread.run_sync(draft.file.write, chunk)
            draft.put(target)

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._swept:
            self._swept.add(folder)
            sweep(folder)

    async def _write(self, store: StorageService, key: str) -> None:
        async for chunk in self._counted(store.stream(key)):
            await anyio.to_thread.run_sync(sys.stdout.buffer.write, chunk, abandon_on_cancel=True)
        sys.stdout.buffer.flush()

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            self._count(len(chunk))

    def _count(self, size: int) -> None:
        if not self._manner.is_recursive:
            self._progress.advance(size)

    async def _delete_strays(self, platform: Platform, source: Place, target: Place, *, tally: Tally) -> None:
        """Delete from the target what the source does not have, unless all of it would go or a person says no."""
        import typer

        count = len(self._strays)
        if not self._has_source:
            tally.error = f"There is nothing in {source}, so all of {target} would be deleted: nothing was. To empty it: rm."
            return
        question = f"Delete {count} object{'' if count == 1 else 's'} of {target} that {source} does not have, for good?"
        if not (self._manner.is_confirmed or self._manner.is_rehearsal or typer.confirm(question, err=True)):
            return
        folders = [place.folder for place in (source, target) if isinstance(place, Location)]

        async def delete(stray: Location) -> bool:
            key = folders[0] + stray.key.removeprefix(folders[1])
            here = Spot(open_store(platform, source.instance if isinstance(source, Location) else None), key)
            if await here.find() is not None:  # it came since, and the next run brings it
                return False
            if not self._manner.is_rehearsal:
                there = Spot(open_store(platform, stray.instance), stray.key)
                await transfer(here, there, found=None, deletes=True)
            return True

        await each(_all(self._strays), delete, name=str, tally=tally, at_once=AT_ONCE)


async def _upload(target: Spot, data: FileData, content_type: str, *, if_absent: bool) -> None:
    options: dict[str, Any] = {"if_absent": True} if if_absent else {}
    await target.store.upload(target.key, data, content_type, **options)


async def _one(source: Place, target: Place) -> AsyncIterator[_Pair]:
    name = "" if source == STANDARD else PurePosixPath(source.key if isinstance(source, Location) else str(source)).name
    yield _Pair(source, _joined(target, name) if is_folder(target) else target)


async def _all(strays: list[Location]) -> AsyncIterator[Location]:
    for stray in strays:
        yield stray


def _joined(target: Place, name: str) -> Place:
    if isinstance(target, Location):
        return Location(target.instance, f"{target.folder}{name}")
    # A store that is not ours to trust may list what is no key, and would lead out of the folder.
    return Path(target, *normalize_key(name).split("/"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not is_draft(path))


async def _chunks(file: BinaryIO | Any) -> AsyncIterator[bytes]:
    while chunk := await anyio.to_thread.run_sync(file.read, DEFAULT_CHUNK_SIZE, abandon_on_cancel=True):
        yield chunk
