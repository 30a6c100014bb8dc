"""One contender on a local disk as a process, which does the cells it is asked for; imported by `storage_local`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.folders import FOLDERS, Folder
from storage.meters import MIB, measure_calls, measure_transfer
from storage.rounds import Cell, serve

__all__ = ["serve_folder"]

SMALL_BYTES = 4096
PREFIXES = 16
KEPT = 128
WARM_SECONDS = 0.1


async def serve_folder(name: str, options: Mapping[str, Any]) -> None:
    """Open a contender in a fresh folder and do what it is asked, until nobody asks any more."""
    folder = FOLDERS[name]()
    root = Path(options["root"], f"{name.replace(' ', '-')}-{os.getpid()}")
    root.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs yet
    worker = FolderWorker(folder)
    try:
        await folder.open(str(root))
    except ImportError as error:
        await serve({"missing": str(error)}, worker.answer)
        return
    try:
        await serve({"fsync": int(bool(folder.survives)), "atomic": int(folder.atomic)}, worker.answer)
    finally:
        await folder.close()


class FolderWorker:
    """Does the cells of one contender. No key is stored twice but where overwriting is what is measured."""

    def __init__(self, folder: Folder) -> None:
        """Take an open folder."""
        self._folder = folder
        self._content = os.urandom(SMALL_BYTES)
        self._turns = 0

    async def answer(self, cell: Cell) -> dict[str, float]:
        """Do one cell."""
        self._turns += 1
        return await getattr(self, f"do_{cell['do']}")(cell)  # type: ignore[no-any-return] # all of them return figures

    async def do_fill(self, cell: Cell) -> dict[str, float]:
        """Store the objects that are overwritten and read later."""
        await measure_calls(lambda number: self._folder.put(_kept(number), self._content), at_once=8, count=KEPT)
        if await self._folder.get(_kept(0)) != self._content:
            raise RuntimeError("the object is not the one that was stored")
        return {}

    async def do_put(self, cell: Cell) -> dict[str, float]:
        """Store a fixed number of new objects."""
        turn = self._turns

        async def put(number: int) -> object:
            return await self._folder.put(f"p{number % PREFIXES}/{turn}-{number}", self._content)

        return await measure_calls(put, at_once=cell["at_once"], count=cell["count"])

    async def do_overwrite(self, cell: Cell) -> dict[str, float]:
        """Store a fixed number of objects over older ones."""
        return await measure_calls(
            lambda number: self._folder.put(_kept(number), self._content), at_once=cell["at_once"], count=cell["count"]
        )

    async def do_get(self, cell: Cell) -> dict[str, float]:
        """Read objects that the page cache holds."""

        async def get(number: int) -> None:
            if len(await self._folder.get(_kept(number))) != SMALL_BYTES:
                raise RuntimeError("the object has not the length that was stored")

        await measure_calls(get, at_once=cell["at_once"], seconds=WARM_SECONDS)
        return await measure_calls(get, at_once=cell["at_once"], seconds=cell["seconds"])

    async def do_write(self, cell: Cell) -> dict[str, float]:
        """Store one large object in pieces."""
        await self._folder.write("warm", bytes(MIB), times=4)
        return await measure_transfer(self._folder.write("large", os.urandom(MIB), times=cell["mib"]), size=cell["mib"] * MIB)

    async def do_drain(self, cell: Cell) -> dict[str, float]:
        """Read it."""

        async def drain() -> None:
            if (size := await self._folder.drain("large")) != cell["mib"] * MIB:
                raise RuntimeError(f"{size} bytes came of {cell['mib']} MiB")

        return await measure_transfer(drain(), size=cell["mib"] * MIB)


def _kept(number: int) -> str:
    return f"p{number % PREFIXES}/kept-{number % KEPT}"
