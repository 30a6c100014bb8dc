"""Answers that are cut among their headers: what such a one does not say is asked for, and not taken to be absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from making import ServiceMaker
from proxy import Exchange, FaultProxy, Mishap, lose_the_answer
from r2 import R2Server

pytestmark = pytest.mark.anyio

PART = 5 * 1024 * 1024


@pytest.fixture
def proxy(server: R2Server) -> Iterator[FaultProxy]:
    """A proxy before the server with R2's rules."""
    with FaultProxy(urlsplit(server.endpoint).netloc).running() as running:
        yield running


def cut(lines: int, *, more: int = 0) -> Mishap:
    """Return what ends the connection in good order after so many lines of a head, whose metadata come last, and some bytes."""

    def end(exchange: Exchange) -> bool:
        exchange.send_up()
        head, _ = exchange.read_answer()
        first, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        rest.sort(key=lambda line: line.lower().startswith(b"x-amz-meta"))
        kept = b"".join(line + b"\r\n" for line in [first, *rest])
        place = sum(len(line) + 2 for line in [first, *rest][:lines])
        exchange.client.sendall(kept[: place + more])
        return False

    return end


def in_turn(*mishaps: tuple[str, Mishap]) -> Callable[[str], Mishap | None]:
    """Choose each mishap for the next request whose line a pattern matches, one after the other."""
    left = list(mishaps)
    return lambda line: left.pop(0)[1] if left and re.match(left[0][0], line) else None


async def test_no_header_is_missed(proxy: FaultProxy, make_service: ServiceMaker, plane: str) -> None:
    """Wherever the head of an answer is cut, between two lines or within one, `stat` tells all of the object."""
    service = make_service(proxy.endpoint, data_plane=plane)
    await service.upload("key", b"content", metadata={"name": "value"}, cache_control="no-store")
    whole = await service.stat("key")

    found = []
    for lines in range(1, 10):
        proxy.choose = in_turn(("HEAD", cut(lines)), ("HEAD", cut(lines, more=3)))
        found.append(await service.stat("key"))

    assert found == [whole] * len(found)


@pytest.mark.parametrize("last", ["PUT", "POST .*uploadId="], ids=["whole", "in parts"])
async def test_its_own_object_is_known_by_a_whole_head(
    proxy: FaultProxy, make_service: ServiceMaker, plane: str, last: str
) -> None:
    """An upload with `if_absent` whose answer was lost looks for its number, and again where that answer ends before it."""
    service = make_service(proxy.endpoint, data_plane=plane)
    content = bytes(PART + 1 if last.startswith("POST") else PART)
    proxy.choose = in_turn((last, lose_the_answer), ("HEAD", cut(-2)))

    await service.upload("key", content, if_absent=True)

    assert await service.download("key") == content
    assert [line.partition(" ")[0] for line in proxy.lines[-3:]] == ["HEAD", "HEAD", "GET"]
