"""What `list` makes of what the store tells, other tools' objects among it."""

from __future__ import annotations

import pytest

from indiaai_core import BackendUnavailable
from indiaai_storage_r2 import R2StorageService
from making import ServiceMaker
from r2 import Answer, Fault, R2Server

pytestmark = pytest.mark.anyio


def page(*keys: str, more: str = "") -> Answer:
    """Return a page of a list with these keys."""
    entries = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>&quot;{'0' * 32}&quot;</ETag>"
        f"<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key in keys
    )
    more = more or "<IsTruncated>false</IsTruncated>"
    return Answer(200, {}, f"<ListBucketResult>{entries}{more}</ListBucketResult>".encode())


async def keys(service: R2StorageService, prefix: str = "", limit: int | None = None) -> list[str]:
    """Return the keys that `list` gives."""
    return [info.key async for info in service.list(prefix, limit=limit)]


async def test_decomposed_keys_have_their_place_among_the_composed(server: R2Server, service: R2StorageService) -> None:
    """Another tool's decomposed key is given composed, once, and in the order of our keys, across pages too."""
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken>"
    server.faults = [
        Fault("GET", answer=page("a", "e\u0301", "f", more=more)),
        Fault("GET", answer=page("z", "\u00e9", "\u0928")),
    ]

    found = await keys(service)

    assert found == ["a", "f", "z", "\u00e9", "\u0928"]


async def test_keys_that_no_call_could_name_are_left_out(server: R2Server, service: R2StorageService) -> None:
    """Folders' marks and other names of other tools are not given, and do not count."""
    server.faults = [Fault("GET", answer=page("/a", "a", "a/", "a//b", "b", "c"))]

    assert await keys(service, limit=2) == ["a", "b"]


async def test_a_list_that_cannot_go_on_is_an_error(server: R2Server, make_service: ServiceMaker) -> None:
    """A page that says there are more, and not where, is never taken for the last one."""
    server.faults = [Fault("GET", answer=page("a", more="<IsTruncated>true</IsTruncated>"))]

    with pytest.raises(BackendUnavailable, match="how its list goes on"):
        await keys(make_service(server.endpoint))


async def test_a_list_that_goes_on_where_it_was_is_an_error(server: R2Server, make_service: ServiceMaker) -> None:
    """A store that gives the same mark again and again is not asked for ever."""
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>here</NextContinuationToken>"
    server.faults = [Fault("GET", answer=page("a", more=more)) for _ in range(9)]

    with pytest.raises(BackendUnavailable, match="how its list goes on"):
        await keys(make_service(server.endpoint, retry_seconds=0))

    assert server.methods() == ["GET", "GET"]


NO_PAGES = {
    "nothing": b"",
    "another page": b"<html>Sign in</html>",
    "half of it": page("a", "b").body[:-150],
    "an error": b"<Error><Code>InternalError</Code></Error>",
    "no key": page("a").body.replace(b"Key>", b"Other>"),
    "no date": page("a").body.replace(b"LastModified>", b"Other>"),
    "no number": page("a").body.replace(b"<Size>1<", b"<Size>one<"),
    "no instant": page("a").body.replace(b"2026-01-01T", b"yesterday"),
}


@pytest.mark.parametrize("body", NO_PAGES.values(), ids=NO_PAGES)
async def test_what_is_no_list_is_never_an_empty_one(server: R2Server, service: R2StorageService, body: bytes) -> None:
    """An answer that is not a list, or half of one, is asked for again: it does not tell that there is nothing."""
    await service.upload("key", b"content")
    server.faults = [Fault("GET", answer=Answer(200, {}, body)) for _ in range(2)]

    assert await keys(service) == ["key"]


async def test_no_more_is_asked_for_than_is_wanted(server: R2Server, service: R2StorageService) -> None:
    """A limit is the size of the page, and a list that is left early asks for no other one."""
    for name in "abc":
        await service.upload(name, b"")
    server.requests.clear()

    found = await keys(service, limit=2)
    none = await keys(service, limit=0)

    assert (found, none) == (["a", "b"], [])
    assert [request.query["max-keys"] for request in server.requests] == ["2"]
