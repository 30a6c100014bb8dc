"""Objects move from a folder to a bucket and back by `indiaai storage cp --update`, with times that the tests choose."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

import indiaai_storage_local.files
from commands import call
from indiaai_core import Platform, StorageService
from motoserver import moto_server
from stores import local, r2

pytestmark = pytest.mark.anyio


class Clock(datetime):
    """What the folder takes for the time."""

    moment: datetime

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Return the moment that a test has set."""
        moment = cls.moment.astimezone(tz or UTC)
        return cls.fromisoformat(moment.isoformat())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """Let a test say when objects are stored in a folder."""
    monkeypatch.setattr(indiaai_storage_local.files, "datetime", Clock)
    Clock.moment = datetime.now(UTC) - timedelta(hours=1)
    return Clock


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the address of an S3 server with an empty bucket."""
    with moto_server("documents") as address:
        yield address


def move(folder: Path, variables: dict[str, str], *places: str, status: int = 0) -> dict[str, Any]:
    """Run the command from the main store to `new`, and return what it tells."""
    places = places or (":", "new:")
    done = call("storage", "cp", "-r", "-u", "--json", *places, folder=folder, variables=variables)
    assert done.returncode == status, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def moved(told: dict[str, Any]) -> list[str]:
    """Return the keys that were copied."""
    return sorted(pair.partition(" -> ")[0].removeprefix(":") for pair in told["copied"])


@asynccontextmanager
async def opened(variables: dict[str, str]) -> AsyncIterator[StorageService]:
    """Open the store that variables select."""
    platform = Platform(variables)
    yield platform.get_service("storage")
    await platform.aclose()


async def test_objects_move_with_all_that_describes_them_and_back(clock: type[Clock], tmp_path: Path, endpoint: str) -> None:
    """Bytes, content type, metadata, cache control and disposition arrive; a second run moves what has changed and no more."""
    there, back = {**local(tmp_path), **r2(endpoint, "NEW_")}, {**r2(endpoint), **local(tmp_path / "returned", "NEW_")}
    async with opened(local(tmp_path)) as storage:
        kept: dict[str, Any] = {"metadata": {"author": "कालिदास"}, "cache_control": "no-store"}
        disposition = 'attachment; filename="a.pdf"'
        await storage.upload("bills/a.pdf", b"a" * 700_000, "application/pdf", content_disposition=disposition, **kept)
        await storage.upload("bills/b.txt", b"b", "text/plain")
        await storage.upload("letters/c.txt", b"c", "text/plain")

        first = move(tmp_path, there, ":bills", "new:bills")
        second, third = move(tmp_path, there), move(tmp_path, there)
        clock.moment += timedelta(hours=2)
        await storage.upload("bills/b.txt", b"changed", "text/plain")
        fourth, returned = move(tmp_path, there), move(tmp_path, back)

    assert [moved(told) for told in (first, second, third)] == [["bills/a.pdf", "bills/b.txt"], ["letters/c.txt"], []]
    assert (moved(fourth), moved(returned)) == (["bills/b.txt"], ["bills/a.pdf", "bills/b.txt", "letters/c.txt"])
    async with opened(local(tmp_path / "returned")) as found:
        info = await found.stat("bills/a.pdf")
        assert (info.content_type, info.metadata) == ("application/pdf", {"author": "कालिदास"})
        assert (info.cache_control, info.content_disposition) == ("no-store", disposition)
        assert await found.download("bills/a.pdf") == b"a" * 700_000
        assert await found.download("bills/b.txt") == b"changed"


@pytest.mark.parametrize(("content", "status"), [(b"the same", 0), (b"of the same length", 1)])
async def test_within_the_second_that_the_bucket_tells_contents_decide(
    content: bytes, status: int, clock: type[Clock], tmp_path: Path, endpoint: str
) -> None:
    """What is equal within one second is left, what differs is named, and nothing is overwritten."""
    variables = {**local(tmp_path), **r2(endpoint, "NEW_")}
    there = content if status == 0 else content[::-1]
    async with opened(r2(endpoint)) as bucket, opened(local(tmp_path)) as folder:
        await bucket.upload("second/a", there)
        clock.moment = (await bucket.stat("second/a")).last_modified.replace(microsecond=999_999)
        await folder.upload("second/a", content)

        told = move(tmp_path, variables, ":second", "new:second", status=status)

        left = await bucket.download("second/a")
        await bucket.delete("second/a")
        assert (told["copied"], list(told["refused"])) == ([], [":second/a -> new:second/a"] * status)
        assert left == there
