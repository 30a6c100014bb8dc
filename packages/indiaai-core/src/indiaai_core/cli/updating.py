"""What `indiaai storage cp --update` goes by: which of two is the newer; imported by the copying."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio

from indiaai_core.cli.location import Location, Place
from indiaai_core.cli.objects import open_store
from indiaai_core.platform import Platform
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, ObjectInfo
from indiaai_core.storage.transfer import Spot
from indiaai_core.wrappers import closing

__all__ = ["Version", "find_version", "is_due", "is_surely_newer"]


MARGIN = timedelta(minutes=1)
"""How far apart times have to be where a target is a copy of the source."""


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


async def is_due(here: Version, there: Version, *, is_copy: bool = False) -> bool | None:
    """Return whether what is here has to be copied over what is there, because it is the newer.

    A time without a fraction, as S3's HEAD tells it, says no more than the second: then both are compared by the second. Of two
    of one moment the contents decide: what is equal need not be copied.

    Args:
        here: What is in the source.
        there: What is in the target.
        is_copy: Whether nobody else writes to the target, so that the source's is right wherever they differ. Times decide
            then only if they are `MARGIN` apart: two clocks may differ, and an upload may be dated by its beginning.

    Returns:
        None where they are of one moment and differ, so that nobody knows which is the newer.
    """
    order = _order(here.moment, there.moment, margin=MARGIN if is_copy else timedelta())
    if order:
        return order > 0
    if here.size == there.size and await _digest(here) == await _digest(there):
        return False
    return True if is_copy else None


def is_surely_newer(there: ObjectInfo, here: ObjectInfo, *, is_copy: bool = False) -> bool:
    """Return whether what is there need not even be looked at; see `is_due`."""
    return _order(here.last_modified, there.last_modified, margin=MARGIN if is_copy else timedelta()) < 0


def _order(here: datetime, there: datetime, *, margin: timedelta) -> int:
    here, there = here.astimezone(UTC), there.astimezone(UTC)
    if not here.microsecond or not there.microsecond:
        here, there = here.replace(microsecond=0), there.replace(microsecond=0)
    return (here > there + margin) - (here + margin < there)


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
