"""Two lists of objects side by side; imported by the command line and by wrappers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from indiaai_core.storage.service import ObjectInfo

__all__ = ["Met", "meet"]


class Met(NamedTuple):
    """What two stores list under one name; None where one of them has nothing."""

    name: str
    here: ObjectInfo | None
    there: ObjectInfo | None


async def meet(
    here: AsyncIterator[ObjectInfo], there: AsyncIterator[ObjectInfo], *, folders: tuple[str, str] = ("", "")
) -> AsyncIterator[Met]:
    """Go through two lists in the order of the names, which both are in.

    Args:
        here: One list. Both are closed at the end, where they can be.
        there: The other one.
        folders: What the keys of each begin with, and their names do not.
    """
    first, second = folders
    try:
        one, other = await anext(here, None), await anext(there, None)
        while one or other:
            ours = one.key.removeprefix(first) if one else None
            theirs = other.key.removeprefix(second) if other else None
            name = min((name for name in (ours, theirs) if name is not None), key=str.encode)
            met = Met(name, one if ours == name else None, other if theirs == name else None)
            yield met
            one = await anext(here, None) if met.here else one
            other = await anext(there, None) if met.there else other
    finally:
        for listed in (here, there):
            close = getattr(listed, "aclose", None)
            if close is not None:
                await close()
