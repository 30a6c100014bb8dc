"""What `indiaai storage cp --update` goes by: which of two is the newer; imported by the copying."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio

from indiaai_core.cli.location import Location, Place
from indiaai_core.cli.objects import open_store
from indiaai_core.errors import StorageError
from indiaai_core.platform import Platform
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, ObjectInfo, StorageService
from indiaai_core.storage.transfer import Spot
from indiaai_core.wrappers import closing

__all__ = ["Met", "Version", "find_version", "is_due", "is_surely_newer", "meet"]


@dataclass(frozen=True, slots=True)
class Version:
    """What lies at a place now.

    Attributes:
        size: Its length in bytes.
        moment: When it was stored; aware, UTC.
        chunks: Begins to read it.
    """

    size: int
    moment: datetime
    chunks: Callable[[], AsyncIterator[bytes]]


class Met(NamedTuple):
    """What two stores list under one name; None where one of them has nothing."""

    name: str
    here: ObjectInfo | None
    there: ObjectInfo | None


async def find_version(
    platform: Platform, place: Place, *, listed: ObjectInfo | None, is_listed: bool = False
) -> Version | None:
    """Return what lies at a place now; None where there is nothing.

    Args:
        platform: Has the stores.
        place: A key in a store, or a file.
        listed: What a list said of it. Its time is more exact on R2 and S3, and is taken where it is of the same object.
        is_listed: Whether that is good enough.
    """
    if isinstance(place, Location):
        store = open_store(platform, place.instance)
        info = listed if is_listed and listed else await Spot(store, place.key).find()
        if info is None:
            return None
        moment = listed.last_modified if listed and listed.etag == info.etag else info.last_modified
        return Version(info.size, moment, lambda: store.stream(place.key))
    try:
        found = await anyio.Path(place).stat()
    except FileNotFoundError:
        return None
    return Version(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), partial(_read, Path(place)))


async def is_due(here: Version | None, there: Version) -> bool:
    """Return whether what is here has to be copied over what is there, because it is the newer.

    A time without a fraction, as S3's HEAD tells it, says no more than the second: then both are compared by the second. Of two
    of one moment the contents decide: what is equal need not be copied.

    Raises:
        StorageError: They are of one moment and differ, so that nobody knows which is the newer.
    """
    if here is None:  # deleted since it was listed
        return False
    order = _order(here.moment, there.moment)
    if order:
        return order > 0
    if here.size == there.size and await _digest(here) == await _digest(there):
        return False
    raise StorageError(
        f"Both were stored within the second {here.moment:%Y-%m-%d %H:%M:%S} UTC, and differ. The times do not tell which is "
        f"the newer, and the target was left. To take the source's, copy it without --update."
    )


def is_surely_newer(there: ObjectInfo, here: ObjectInfo) -> bool:
    """Return whether what is there need not even be looked at."""
    return _order(here.last_modified, there.last_modified) < 0


async def meet(here: StorageService, there: StorageService, *, folders: tuple[str, str]) -> AsyncIterator[Met]:
    """List two stores side by side, in the order of the names below a folder of each: a question for each page of either."""
    first, second = folders
    async with closing(here.list(first)) as ours, closing(there.list(second)) as theirs:
        one, other = await anext(ours, None), await anext(theirs, None)
        while one or other:
            names = [_name(one, first), _name(other, second)]
            name = min((name for name in names if name is not None), key=str.encode)
            met = Met(name, one if names[0] == name else None, other if names[1] == name else None)
            yield met
            one = await anext(ours, None) if met.here else one
            other = await anext(theirs, None) if met.there else other


def _name(info: ObjectInfo | None, folder: str) -> str | None:
    return info.key.removeprefix(folder) if info else None


def _order(here: datetime, there: datetime) -> int:
    here, there = here.astimezone(UTC), there.astimezone(UTC)
    if not here.microsecond or not there.microsecond:
        here, there = here.replace(microsecond=0), there.replace(microsecond=0)
    return (here > there) - (here < there)


async def _read(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(DEFAULT_CHUNK_SIZE):
            yield chunk


async def _digest(version: Version) -> bytes:
    digest = hashlib.blake2b()
    async with closing(version.chunks()) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
    return digest.digest()
