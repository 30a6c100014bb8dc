"""What the interface does for a backend of four methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError, Unsupported
from indiaai_core.storage import ObjectInfo, StorageService
from indiaai_core.testing.storage import samples
from storage.reference import MemoryStorageService, MinimalStorageService

pytestmark = pytest.mark.anyio


class Statting(MinimalStorageService):
    """A backend that knows content types, and copies by the interface's default."""

    capabilities = frozenset({"stat"})

    def __init__(self) -> None:
        """Keep what is known beside the bytes."""
        super().__init__()
        self.inner = MemoryStorageService()
        self.upload = self.inner.upload  # type: ignore[method-assign] # the same signature
        self.download = self.inner.download  # type: ignore[method-assign] # the same signature

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what is known."""
        return await self.inner.stat(file_key)


def test_four_methods_are_a_backend() -> None:
    """The abstract methods are upload, download, get_url and delete, and no other."""
    assert StorageService.__abstractmethods__ == {"upload", "download", "get_url", "delete"}


async def test_exists_asks_stat_where_there_is_one() -> None:
    """A backend that can `stat` need not be downloaded from to see whether an object is there."""
    service = Statting()
    await service.upload("here", b"x")
    service.download = None  # type: ignore[assignment, method-assign] # a download would fail

    assert await service.exists("here")
    assert not await service.exists("missing")


async def test_exists_downloads_where_nothing_else_helps() -> None:
    """Without `stat`, an object is there if it can be downloaded."""
    service = MinimalStorageService({"here": b"x"})

    assert await service.exists("here")
    assert not await service.exists("missing")


async def test_a_copy_by_default_keeps_the_content_type() -> None:
    """The default copy passes the content type on where the backend knows it."""
    service = Statting()
    await service.upload("source", b"x", "text/plain")

    await service.copy("source", "target")

    assert (await service.stat("target")).content_type == "text/plain"


@pytest.mark.parametrize("capability", ["stat", "list", "presign_upload"])
async def test_what_is_not_declared_is_unsupported(capability: str) -> None:
    """The error names the backend and the capability."""
    service = MinimalStorageService()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "stat": lambda: service.stat("key"),
        "list": lambda: samples.listed(service),
        "presign_upload": lambda: service.get_upload_url("key"),
    }

    with pytest.raises(Unsupported) as raised:
        await calls[capability]()

    assert (raised.value.backend, raised.value.capability) == ("MinimalStorageService", capability)


async def test_a_probe_leaves_nothing_behind() -> None:
    """A probe stores, reads and deletes one object."""
    service = MinimalStorageService({"kept": b"x"})

    await service.probe()

    assert service.objects == {"kept": b"x"}


async def test_a_probe_finds_a_store_that_loses_bytes() -> None:
    """A probe that reads something else than it stored raises, and deletes its object all the same."""

    class Losing(MinimalStorageService):
        async def download(self, file_key: str) -> bytes:
            return (await super().download(file_key))[1:]

    service = Losing()

    with pytest.raises(StorageError, match="did not come back"):
        await service.probe()
    assert service.objects == {}


async def test_a_probe_raises_what_a_step_raised() -> None:
    """A probe of a store that cannot be read raises its error, and deletes its object all the same."""

    class Silent(MinimalStorageService):
        async def download(self, file_key: str) -> bytes:
            raise BackendUnavailable("No answer.")

    service = Silent()

    with pytest.raises(BackendUnavailable, match="No answer"):
        await service.probe()
    assert service.objects == {}


async def test_a_stream_by_default_is_a_slice_of_a_download() -> None:
    """The default stream gives the range in chunks and raises before the first."""
    service = MinimalStorageService({"digits": b"0123456789"})

    chunks = [chunk async for chunk in service.stream("digits", start=1, end=8, chunk_size=3)]

    assert chunks == [b"123", b"456", b"7"]
    with pytest.raises(ObjectNotFound):
        await anext(service.stream("missing"))


async def test_a_probe_that_is_given_up_takes_its_object_back() -> None:
    """A store that stops answering in the middle is left without the object, if it still takes a delete."""

    class Silent(MinimalStorageService):
        async def download(self, file_key: str) -> bytes:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

    service = Silent()

    with anyio.CancelScope() as scope:
        await service.probe()

    assert scope.cancelled_caught
    assert service.objects == {}
