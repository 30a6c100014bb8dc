"""What `indiaai storage ls`, `rm` and `url` do; imported by those commands when one is run."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import Any

from indiaai_core.cli.instance import require_instance
from indiaai_core.cli.location import Location
from indiaai_core.cli.output import Progress, print_check, print_failure, print_json, print_text
from indiaai_core.cli.running import Tally, each, run
from indiaai_core.errors import ObjectNotFound
from indiaai_core.platform import Platform
from indiaai_core.selection import Slot
from indiaai_core.storage import LAYER, ObjectInfo, StorageService, normalize_key

__all__ = ["give_url", "is_somebody_there", "list_objects", "open_store", "print_tally", "remove"]

AT_ONCE = 16
"""How many objects are deleted side by side."""


def open_store(platform: Platform, instance: str | None) -> StorageService:
    """Return a store.

    Raises:
        ConfigurationError: It is not set up, or nobody has named an instance so.
    """
    require_instance(Slot(LAYER.name, instance), platform.environment)
    store: StorageService = platform.get_service(LAYER.name, instance)
    return store


def list_objects(place: Location, *, limit: int | None, as_json: bool) -> int:
    """Print the objects whose key begins so, as they come."""

    async def work(platform: Platform) -> int:
        found = open_store(platform, place.instance).list(place.key, limit=limit)
        await (_print_array(found) if as_json else _print_lines(found))
        return 0

    return run(work)


def give_url(place: Location, *, expires_in: int, upload_type: str | None, as_json: bool) -> int:
    """Print a link to an object, or one that a client may store it by."""

    async def work(platform: Platform) -> int:
        store = open_store(platform, place.instance)
        if upload_type is None:
            url = await store.get_url(place.key, expires_in)
        else:
            url = await store.get_upload_url(place.key, expires_in, content_type=upload_type)
        if as_json:
            print_json({"url": url, "key": normalize_key(place.key), "expires_in": expires_in})
        else:
            print_text(url)
        if url.startswith("/"):
            print_failure("It is relative to the address that the application is served at.")
        return 0

    return run(work)


def remove(places: Sequence[Location], *, is_recursive: bool, is_confirmed: bool, is_rehearsal: bool, as_json: bool) -> int:
    """Delete objects, after asking a person; each that is not there is told, and the others deleted."""
    if not (is_confirmed or is_rehearsal or is_somebody_there()):
        print_failure("rm deletes for good, and nobody is here to be asked. To go ahead, add --yes; to look first, --dry-run.")
        return 2
    tally = Tally()

    async def work(platform: Platform) -> int:
        find = partial(_find, platform, places, is_recursive=is_recursive)
        if is_rehearsal:
            tally.done = [str(found) async for found in find()]
        elif not is_confirmed and not await _confirm(places, find()):
            return 1
        else:
            with Progress("deleted", None) as progress:
                delete = partial(_delete, platform, progress)
                await each(find(), delete, name=str, tally=tally, at_once=AT_ONCE)
        return tally.status

    status = run(work)
    if is_rehearsal or tally.done or tally.refused or tally.error or as_json:
        print_tally(tally, "deleted", as_json=as_json, is_rehearsal=is_rehearsal)
    return status


async def _find(platform: Platform, places: Sequence[Location], *, is_recursive: bool) -> AsyncIterator[Location]:
    for place in places:
        store = open_store(platform, place.instance)
        if not is_recursive:
            yield place
            continue
        async for info in store.list(place.folder):
            yield Location(place.instance, info.key)


def print_tally(
    tally: Tally, participle: str, *, as_json: bool, is_rehearsal: bool = False, also: Mapping[str, list[str]] | None = None
) -> None:
    """Print what became of objects: what failed by name, and how many did not; in a rehearsal all by name.

    Args:
        tally: What was done, and what failed.
        participle: What was done.
        as_json: Whether a program reads it.
        is_rehearsal: Whether it was not done.
        also: What else was done, and to which.
    """
    done = {participle: tally.done, **(also or {})}
    if as_json:
        print_json({**done, "refused": tally.refused, "error": tally.error, "dry_run": is_rehearsal})
        return
    for what, names in done.items():
        for name in names if is_rehearsal else ():
            print_text(f"would be {what}: {name}")
    for name, reason in tally.refused.items():
        print_check(name, reason, is_ok=False)
    for what, names in done.items():
        if not is_rehearsal:
            print_text(f"{len(names)} object{'' if len(names) == 1 else 's'} {what}")
    if tally.error:
        print_failure(tally.error)


async def _delete(platform: Platform, progress: Progress, found: Location) -> None:
    if not await open_store(platform, found.instance).delete(found.key):
        raise ObjectNotFound(found.key)
    progress.advance()


async def _confirm(places: Sequence[Location], found: AsyncIterator[Location]) -> bool:
    import typer

    count = 0
    async for _ in found:
        count += 1
    named = [str(place) if place.key else f"the whole store {place.instance or ''}".rstrip() for place in places]
    where = ", ".join(named) if len(named) <= 3 else f"{len(named)} places"
    if count and typer.confirm(f"Delete {count} object{'' if count == 1 else 's'} of {where}, for good?", err=True):
        return True
    print_failure("Nothing was deleted." if count else f"There is nothing below {where}.")
    return False


async def _print_lines(found: AsyncIterator[ObjectInfo]) -> None:
    is_terminal = _is_terminal()
    async for info in found:
        moment = f"{info.last_modified.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        print_text(f"{info.size:>14,}  {moment}  {info.key}" if is_terminal else f"{info.size}\t{moment}\t{info.key}")


async def _print_array(found: AsyncIterator[ObjectInfo]) -> None:
    begin = "["
    async for info in found:
        sys.stdout.write(f"{begin}\n  {json.dumps(_plain(info), ensure_ascii=False)}")
        begin = ","
    sys.stdout.write("\n]\n" if begin == "," else "[]\n")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def is_somebody_there() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty()


def _plain(info: ObjectInfo) -> dict[str, Any]:
    moment = info.last_modified.isoformat()
    return {"key": info.key, "size": info.size, "last_modified": moment, "etag": info.etag, "content_type": info.content_type}
