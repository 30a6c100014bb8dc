"""Wrappers: a service in front of another, the same to whoever uses it."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from indiaai_core import ObjectInfo, ObjectNotFound, Service, StorageService
from indiaai_core.storage import FileData
from indiaai_core.wrappers import observe

pytestmark = pytest.mark.anyio

Heard = builtins.list[tuple[str, type[BaseException] | None]]


class DictStorage(StorageService):
    """Objects in a dict."""

    capabilities = frozenset({"list"})
    extra = "beyond the interface"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_closed = False

    async def upload(
        self,
        file_key: str,
        file_data: FileData,
        content_type: str = "application/octet-stream",
        *,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Keep it."""
        assert isinstance(file_data, bytes)
        self.objects[file_key] = file_data
        return file_key

    async def download(self, file_key: str) -> bytes:
        """Give it back."""
        if file_key not in self.objects:
            raise ObjectNotFound(file_key)
        return self.objects[file_key]

    async def get_url(self, file_key: str, expires_in: int = 3600, **options: str | None) -> str:
        """Say something."""
        return file_key

    async def delete(self, file_key: str) -> bool:
        """Forget it."""
        return self.objects.pop(file_key, None) is not None

    async def aclose(self) -> None:
        """Remember that it was asked to close."""
        self.is_closed = True


def observed() -> tuple[Any, DictStorage, Heard]:
    """Return an observed service, the service behind it and what the observer heard."""
    heard: Heard = []
    inner = DictStorage()

    def observer(operation: str, nanoseconds: int, error: BaseException | None) -> None:
        assert nanoseconds > 0
        heard.append((operation, type(error) if error else None))

    return observe(inner, interface=StorageService, observer=observer), inner, heard


async def test_every_operation_is_heard_of_with_what_it_raised() -> None:
    """The observer hears each operation's name and its error, and the caller gets the same as ever."""
    service, _, heard = observed()

    assert await service.upload("a", b"x", content_type="text/plain") == "a"
    assert await service.download("a") == b"x"
    with pytest.raises(ObjectNotFound):
        await service.download("b")

    assert heard == [("upload", None), ("download", None), ("download", ObjectNotFound)]


async def test_a_stream_is_heard_of_when_it_ends() -> None:
    """Whether it was read to its end, left early or failed, a stream is one operation."""
    service, _, heard = observed()
    await service.upload("a", b"xyz")

    whole = [chunk async for chunk in service.stream("a", chunk_size=1)]
    async with aclosing(service.stream("a", chunk_size=1)) as stream:
        first = await anext(stream)
    with pytest.raises(ObjectNotFound):
        await anext(service.stream("b"))

    assert (whole, first) == ([b"x", b"y", b"z"], b"x")
    assert heard[1:] == [("stream", None), ("stream", None), ("stream", ObjectNotFound)]


async def test_the_wrapped_service_is_the_same_to_its_user() -> None:
    """It is an instance of the interface, shows the backend's attributes, and the lifecycle goes through."""
    service, inner, heard = observed()

    service.served_at = "/files"
    await service.check()
    await service.aclose()

    assert service.extra == "beyond the interface"
    assert service.capabilities == inner.capabilities
    assert inner.served_at == "/files"
    assert inner.is_closed
    assert heard == []
    assert "DictStorage" in repr(service)
    with pytest.raises(AttributeError):
        _ = service.nothing_of_that_name
    assert isinstance(service, StorageService)


async def test_what_is_no_coroutine_goes_through_as_it_is() -> None:
    """A plain function of the interface, such as the default of `list`, keeps its meaning."""
    _, inner, _ = observed()

    def listing(prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        return aiter_of([])

    async def aiter_of(items: builtins.list[ObjectInfo]) -> AsyncIterator[ObjectInfo]:
        for item in items:
            yield item

    inner.list = listing  # type: ignore[method-assign] # the point of the test
    service = observe(inner, interface=StorageService, observer=lambda *_: None)

    assert [item async for item in service.list()] == []


async def test_wrappers_can_be_put_over_wrappers() -> None:
    """Two observers each hear of the operation once."""
    service, _, heard = observed()
    outer: builtins.list[str] = []
    both = observe(service, interface=StorageService, observer=lambda name, *_: outer.append(name))

    await both.upload("a", b"x")
    _ = [chunk async for chunk in both.stream("a")]

    assert outer == ["upload", "stream"] == [name for name, _ in heard]


async def test_every_kind_of_parameter_is_handed_on() -> None:
    """Whatever a layer's operations take, positions, keywords and defaults arrive as they were given."""

    class Odd(Service):
        async def call(self, first: int, second: int = 2, *rest: int, key: str = "k", **named: int) -> tuple[Any, ...]:
            return first, second, rest, key, named

        async def only(self, *, key: str) -> str:
            return key

    service: Any = observe(Odd(), interface=Odd, observer=lambda *_: None)

    assert await service.call(1) == (1, 2, (), "k", {})
    assert await service.call(1, 3, 4, 5, key="x", more=6) == (1, 3, (4, 5), "x", {"more": 6})
    assert await service.only(key="y") == "y"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        await service.call()
