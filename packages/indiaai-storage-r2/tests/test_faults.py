"""What comes of requests that the network or the store spoils: the acknowledged is there, the failed is not."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from indiaai_core import BackendUnavailable, ObjectExists, StorageError
from indiaai_storage_r2 import R2StorageService
from making import ServiceMaker
from r2 import Answer, Fault, R2Server, StoredObject, refusal

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4096
LARGE = CONTENT * 12
PAGE = Answer(200, {"Content-Type": "text/html"}, b"<html>Sign in to use this network</html>")


async def chunks() -> AsyncIterator[bytes]:
    """Give the large content as a stream."""
    for start in range(0, len(LARGE), 700_001):
        yield LARGE[start : start + 700_001]


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for 20 seconds at most."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server's thread
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(500, "InternalError"),
        refusal(503, "ServiceUnavailable", None),
        refusal(400, "ClientDisconnect"),
        refusal(400, "IncompleteBody"),
        refusal(408, "RequestTimeout"),
        Answer(502, {}, b"<html>Bad gateway</html>"),
        Answer(522, {}, b"<html>Connection timed out</html>"),
    ],
    ids=lambda answer: f"{answer.status}",
)
async def test_a_passing_error_is_tried_again(server: R2Server, service: R2StorageService, answer: Answer) -> None:
    """An error that says nothing against the request is followed by another attempt, for every method."""
    server.faults = [Fault("PUT", answer=answer), Fault("GET", answer=answer), Fault("DELETE", answer=answer)]

    await service.upload("key", CONTENT)
    content = await service.download("key")
    was_there = await service.delete("key")

    assert content == CONTENT
    assert was_there
    assert server.methods() == ["PUT", "PUT", "GET", "GET", "HEAD", "DELETE", "DELETE"]


async def test_a_second_write_within_a_second_waits(server: R2Server, service: R2StorageService) -> None:
    """R2 takes one write a second to a key: after its 429 the next attempt is at least a second later."""
    server.faults = [Fault("PUT", answer=refusal(429, "TooManyRequests"))]
    started = time.monotonic()

    await service.upload("key", CONTENT)

    assert time.monotonic() - started >= 1
    assert server.objects["/bucket/key"].content == CONTENT


async def test_retries_end_with_the_deadline(server: R2Server, make_service: ServiceMaker) -> None:
    """What fails on and on ends in BackendUnavailable, with the wait that the store asked for."""
    server.faults = [Fault("GET", answer=refusal(503, "SlowDown", **{"Retry-After": "7"})) for _ in range(9)]

    with pytest.raises(BackendUnavailable, match="SlowDown") as raised:
        await make_service(server.endpoint, retry_seconds=0.3).download("key")

    assert raised.value.retry_after == 7
    assert server.methods() == ["GET"]


@pytest.mark.parametrize("after", [0, 5000])
async def test_a_put_that_is_reset_is_sent_again(server: R2Server, service: R2StorageService, after: int) -> None:
    """A connection that is reset while the body is sent costs another attempt, and the object is whole."""
    server.faults = [Fault("PUT", cut_body_after=after), Fault("PUT", cut_body_after=after)]

    await service.upload("key", CONTENT)

    assert server.objects["/bucket/key"].content == CONTENT


async def test_a_silent_store_is_given_up(server: R2Server, make_service: ServiceMaker) -> None:
    """A store that says nothing for the read timeout is unavailable, and the event loop runs on meanwhile."""
    done = threading.Event()
    server.faults = [Fault("GET", until=done)]
    service = make_service(server.endpoint, read_timeout_seconds=0.3, retry_seconds=0)

    try:
        with pytest.raises(BackendUnavailable, match="ReadTimeout"):
            await service.download("key")
    finally:
        done.set()


async def test_a_store_that_is_not_there_is_unavailable(make_service: ServiceMaker) -> None:
    """Where nothing listens, the error says what to look at."""
    with pytest.raises(BackendUnavailable, match="R2_ENDPOINT_URL"):
        await make_service("http://127.0.0.1:9", retry_seconds=0.1).download("key")


@pytest.mark.parametrize("size", [1, 12])
async def test_if_absent_whose_answer_is_lost_succeeds(server: R2Server, service: R2StorageService, size: int) -> None:
    """The second attempt finds what the first one stored and knows it for its own."""
    server.faults = [Fault("PUT" if size == 1 else "POST", cut_answer_after=-1)]
    if size > 1:  # the first POST creates the upload, the second puts it together
        server.faults.insert(0, Fault("POST"))

    await service.upload("key", CONTENT * size, if_absent=True)

    assert server.objects["/bucket/key"].content == CONTENT * size
    assert server.uploads == {}


@pytest.mark.parametrize("size", [1, 12])
async def test_if_absent_that_loses_to_another_says_so(server: R2Server, service: R2StorageService, size: int) -> None:
    """Somebody else's object that came between two attempts is never taken for ours, even with the same bytes."""
    theirs = StoredObject(CONTENT * size, {"x-amz-meta-indiaai-upload": "theirs"}, "0" * 32)
    server.faults = [
        Fault("POST"),
        Fault("PUT" if size == 1 else "POST", cut_body_after=0, then=lambda: server.objects.update({"/bucket/key": theirs})),
    ]

    with pytest.raises(ObjectExists):
        await service.upload("key", CONTENT * size, if_absent=True)

    assert server.objects["/bucket/key"] is theirs
    assert server.uploads == {}


async def test_a_part_that_is_reset_is_sent_again(server: R2Server, service: R2StorageService) -> None:
    """One part that fails costs that part's second attempt, without the source being read again."""
    server.faults = [Fault("PUT"), Fault("PUT", cut_body_after=2 * MIB), Fault("PUT", answer=refusal(500, "InternalError"))]

    await service.upload("key", chunks())

    assert server.objects["/bucket/key"].content == LARGE


@pytest.mark.parametrize("plane", ["lean", "boto3"])
async def test_what_became_of_an_upload_is_asked_again_where_the_answer_is_cut(
    server: R2Server, make_service: ServiceMaker, plane: str
) -> None:
    """A lost answer is looked for by a HEAD; one whose headers are not all there tells nothing, and is asked for again."""
    server.faults = [Fault("POST"), Fault("POST", cut_answer_after=-1), Fault("HEAD", answer=Answer(200))]
    service = make_service(server.endpoint, data_plane=plane)

    await service.upload("key", chunks())

    assert server.objects["/bucket/key"].content == LARGE
    assert [request.method for request in server.requests].count("HEAD") == 2


async def test_an_upload_that_is_refused_without_words_is_looked_for(server: R2Server, service: R2StorageService) -> None:
    """A second request to put the parts together is answered 404; with the words cut off, too, the object is found."""
    server.faults = [Fault("POST"), Fault("POST", cut_answer_after=-1), Fault("POST", answer=Answer(404))]

    await service.upload("key", chunks())

    assert server.objects["/bucket/key"].content == LARGE


async def test_a_lost_answer_to_the_last_request_is_no_failure(server: R2Server, service: R2StorageService) -> None:
    """Parts that were put together although the answer was lost are an object, and the upload says so."""
    server.faults = [Fault("POST"), Fault("POST", cut_answer_after=-1)]

    await service.upload("key", chunks())

    assert server.objects["/bucket/key"].content == LARGE


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_that_fails_leaves_no_parts(server: R2Server, make_service: ServiceMaker, method: str) -> None:
    """When a part, or putting them together, fails for good, the parts are removed and the old object stays."""
    server.objects["/bucket/key"] = old = StoredObject(b"old", {}, "1" * 32)
    server.faults = [Fault(method)] + [Fault(method, answer=refusal(500, "InternalError")) for _ in range(20)]
    service = make_service(server.endpoint, retry_seconds=0.1)

    with pytest.raises(BackendUnavailable, match="InternalError"):
        await service.upload("key", chunks())

    assert server.uploads == {}
    assert server.objects["/bucket/key"] is old


async def test_a_source_that_fails_leaves_no_parts(server: R2Server, service: R2StorageService) -> None:
    """The source's own error comes out as it is, and the parts that were sent are removed."""

    async def failing() -> AsyncIterator[bytes]:
        yield LARGE
        raise LookupError("the source failed")

    with pytest.raises(LookupError, match="the source failed"):
        await service.upload("key", failing())

    assert "POST" in server.methods()
    assert (server.uploads, server.objects) == ({}, {})


@pytest.mark.parametrize("at", ["create", "part", "source"])
async def test_a_cancelled_upload_leaves_no_parts(server: R2Server, service: R2StorageService, at: str) -> None:
    """Cancelled while it is created, while parts are sent, or while it waits for its source: nothing stays."""
    answering = threading.Event()
    server.faults = [Fault({"create": "POST", "part": "PUT", "source": "NONE"}[at], until=answering)]

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.upload, "key", endless())
        await wait_for(lambda: len(server.requests) == {"create": 1, "part": 3, "source": 3}[at])
        tasks.cancel_scope.cancel()
        answering.set()
    await service.aclose()

    assert (server.uploads, server.objects) == ({}, {})


async def test_a_cancelled_put_changes_nothing_later(server: R2Server, service: R2StorageService) -> None:
    """A body that is on its way when the caller is cancelled breaks off, so that the store never has all of it."""
    server.objects["/bucket/key"] = old = StoredObject(b"old", {}, "1" * 32)
    sending = threading.Event()
    release = threading.Event()

    def hold() -> None:
        sending.set()
        release.wait(10)

    server.faults = [Fault("PUT", cut_body_after=0, then=hold)]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.upload, "key", CONTENT * 4)
        await anyio.to_thread.run_sync(sending.wait)
        tasks.cancel_scope.cancel()
        release.set()
    await service.aclose()

    assert server.objects["/bucket/key"] is old
    assert server.requests == []


async def test_a_cut_download_goes_on_where_it_was(server: R2Server, service: R2StorageService) -> None:
    """A GET that is cut in the middle is continued by a range of the same version, for a whole object and for a range."""
    await service.upload("key", LARGE)
    server.faults = [Fault("GET", cut_answer_after=7 * MIB), Fault("GET", cut_answer_after=100_000)]

    whole = await service.download("key")
    server.faults = [Fault("GET", cut_answer_after=500_000)]
    part = b"".join([chunk async for chunk in service.stream("key", start=1000, end=3_000_000)])

    assert whole == LARGE
    assert part == LARGE[1000:3_000_000]
    gets = [request for request in server.requests if request.method == "GET"]
    assert len(gets) == 5
    etag = f'"{server.objects["/bucket/key"].etag}"'
    assert [get.headers.get("if-match") for get in gets] == [None, etag, etag, None, etag]
    assert [get.headers["range"][:6] for get in gets if "if-match" in get.headers] == ["bytes="] * 3
    assert gets[4].headers["range"].endswith("-2999999")


@pytest.mark.parametrize("ignores_conditions", [False, True])
async def test_a_cut_download_never_mixes_versions(
    server: R2Server, service: R2StorageService, *, ignores_conditions: bool
) -> None:
    """An object that is replaced between the cut and the continuation is an error, also where If-Match is ignored."""
    server.ignores_conditions = ignores_conditions
    await service.upload("key", LARGE)
    other = StoredObject(LARGE[::-1], {}, "2" * 32)
    server.faults = [Fault("GET", cut_answer_after=5 * MIB, then=lambda: server.objects.update({"/bucket/key": other}))]

    with pytest.raises(BackendUnavailable, match="was replaced"):
        await service.download("key")


OTHER_RANGES = {
    "another begin": ((2, 5), "bytes 0-2/10", b"abc"),
    "more": ((2, 5), "bytes 2-9/10", b"cdefghij"),
    "fewer": ((2, 5), "bytes 2-3/10", b"cd"),
    "fewer than it says": ((2, 5), "bytes 2-4/10", b"cd"),
    "not to the end": ((2, None), "bytes 2-4/10", b"cde"),
    "not to its end": ((2, 50), "bytes 2-4/10", b"cde"),
    "no range": ((2, 5), None, b"abcdefghij"),
    "no number": ((2, 5), "bytes 2-x/10", b"cde"),
    "a range that was not asked for": ((0, None), "bytes 0-3/10", b"abcd"),
}


@pytest.mark.parametrize(("asked", "told", "body"), OTHER_RANGES.values(), ids=OTHER_RANGES)
async def test_other_bytes_than_were_asked_for_are_an_error(
    server: R2Server, service: R2StorageService, *, asked: tuple[int, int | None], told: str | None, body: bytes
) -> None:
    """An answer that brings another range, whatever it says of it, is never given for the one that was asked for."""
    headers = {"ETag": '"0"', **({"Content-Range": told} if told else {})}
    server.faults = [Fault("GET", answer=Answer(206, headers, body))]

    with pytest.raises(StorageError, match="another range"):
        _ = [chunk async for chunk in service.stream("key", start=asked[0], end=asked[1])]


@pytest.mark.parametrize("told", ["4-6/7", "4-12/13"])
async def test_a_cut_download_does_not_change_its_length(server: R2Server, service: R2StorageService, told: str) -> None:
    """What continues an object that carries no digest has to end where the object did."""
    server.objects["/bucket/key"] = StoredObject(b"abcdefghij", {}, "0" * 32)
    headers = {"ETag": f'"{"0" * 32}"', "Content-Range": f"bytes {told}"}
    body = b"efghijklm"[: int(told.partition("/")[2]) - 4]
    server.faults = [Fault("GET", cut_answer_after=4), Fault("GET", answer=Answer(206, headers, body))]

    with pytest.raises(StorageError, match="another range"):
        await service.download("key")


async def test_an_object_that_vanishes_meanwhile_is_an_error(server: R2Server, service: R2StorageService) -> None:
    """A stream whose object is deleted under it, and then cut, does not end as if it were complete."""
    await service.upload("key", LARGE)
    server.faults = [Fault("GET", cut_answer_after=5 * MIB, then=server.objects.clear)]

    with pytest.raises(BackendUnavailable, match="was replaced"):
        await service.download("key")


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
async def test_a_bit_flipped_on_the_way_down_is_noticed(server: R2Server, service: R2StorageService, content: bytes) -> None:
    """A damaged answer is asked for again; if they are all damaged, that is an error, and never wrong bytes."""
    await service.upload("key", content)
    server.faults = [Fault("GET", flip=True)]

    after_one = await service.download("key")
    server.faults = [Fault("GET", flip=True) for _ in range(3)]

    assert after_one == content
    with pytest.raises(BackendUnavailable, match="digest"):
        await service.download("key")


async def test_a_stream_ends_in_an_error_where_a_bit_was_flipped(server: R2Server, service: R2StorageService) -> None:
    """What was given out cannot be taken back, but the stream of a damaged object never comes to its end."""
    await service.upload("key", LARGE)
    server.faults = [Fault("GET", flip=True)]
    received = []

    async def read() -> None:
        async for chunk in service.stream("key"):
            received.append(chunk)  # noqa: PERF401 - what came before the error is wanted

    with pytest.raises(BackendUnavailable, match="digest"):
        await read()

    assert sum(map(len, received)) < len(LARGE)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
async def test_a_bit_flipped_on_the_way_up_is_noticed(server: R2Server, service: R2StorageService, content: bytes) -> None:
    """The store refuses what does not have its MD5, and it is sent again."""
    server.faults = [Fault("PUT", flip=True)]

    await service.upload("key", content)

    assert server.objects["/bucket/key"].content == content


async def test_a_store_that_keeps_other_bytes_is_caught(server: R2Server, make_service: ServiceMaker) -> None:
    """An ETag that is not the digest of what was sent fails the upload."""
    wrong = Answer(200, {"ETag": f'"{"0" * 32}"'})
    server.faults = [Fault("PUT", answer=wrong) for _ in range(20)]

    with pytest.raises(BackendUnavailable, match="other bytes"):
        await make_service(server.endpoint, retry_seconds=0.1).upload("key", CONTENT)


async def test_an_answer_that_is_not_the_store_s_stores_nothing(server: R2Server, make_service: ServiceMaker) -> None:
    """A 200 of something in between, without an ETag, is never taken for a stored object, nor for the object itself."""
    server.faults = [Fault(method, answer=PAGE) for method in ("PUT", "GET") for _ in range(20)]
    service = make_service(server.endpoint, retry_seconds=0.1)

    with pytest.raises(BackendUnavailable, match="ETag"):
        await service.upload("key", CONTENT)
    with pytest.raises(BackendUnavailable, match="ETag"):
        await service.download("key")


async def test_a_page_deletes_nothing(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """A 200 of something in between is not believed where an object was to be deleted: the store is asked until it is gone."""
    service = make_service(server.endpoint, data_plane=plane)
    await service.upload("key", CONTENT)
    server.requests.clear()
    server.faults = [Fault("DELETE", answer=PAGE)]

    was_there = await service.delete("key")

    assert was_there
    assert server.objects == {}
    assert server.methods() == ["HEAD", "DELETE", "HEAD", "DELETE"]


async def test_what_was_never_deleted_is_an_error(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """Where pages answer for the store on and on, the error names what is still there."""
    service = make_service(server.endpoint, data_plane=plane, retry_seconds=0)
    await service.upload("key", CONTENT)
    server.faults = [Fault("DELETE", answer=PAGE)]

    with pytest.raises(BackendUnavailable, match="'key', which is still there"):
        await service.delete("key")

    assert server.objects["/bucket/key"].content == CONTENT


async def test_a_store_that_deletes_with_200_is_believed(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """Some stores answer 200 in place of 204: they are, once the object is seen to be gone."""
    service = make_service(server.endpoint, data_plane=plane)
    await service.upload("key", CONTENT)
    server.requests.clear()
    server.faults = [Fault("HEAD"), Fault("DELETE", answer=Answer(200)), Fault("HEAD", answer=refusal(404, "NoSuchKey"))]

    was_there = await service.delete("key")

    assert was_there
    assert server.methods()[:3] == ["HEAD", "DELETE", "HEAD"]


async def test_a_page_gives_up_no_parts(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """A failed upload's parts are given up until the store itself has said so."""
    server.faults = [Fault("DELETE", answer=PAGE)]

    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise LookupError

    with pytest.raises(LookupError):
        await make_service(server.endpoint, data_plane=plane).upload("key", broken())

    assert server.uploads == {}
    assert server.methods()[-2:] == ["DELETE", "DELETE"]


async def test_a_page_is_no_object_that_is_there(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """An upload in parts with `if_absent` is not refused because of what something in between has answered."""
    server.faults = [Fault("HEAD", answer=PAGE)]

    await make_service(server.endpoint, data_plane=plane).upload("key", LARGE, if_absent=True)

    assert server.objects["/bucket/key"].content == LARGE


@pytest.mark.parametrize("date", ["yesterday", "Sat, 31 Feb 2026 23:59:58 GMT", ""])
async def test_a_head_without_a_date_is_not_the_store_s(
    server: R2Server, make_service: ServiceMaker, plane: str, date: str
) -> None:
    """A `Last-Modified` that is no date is never a client's bare error, nor an object: the store is unavailable."""
    head = Answer(200, {"ETag": '"e"', "Last-Modified": date}, b"content")
    server.faults = [Fault("HEAD", answer=head) for _ in range(2)]
    service = make_service(server.endpoint, retry_seconds=0, data_plane=plane)

    for ask in (service.stat, service.exists):
        with pytest.raises(BackendUnavailable, match="as no S3 store does"):
            await ask("key")

    assert server.methods() == ["HEAD", "HEAD"]


async def test_connections_are_kept(server: R2Server, service: R2StorageService) -> None:
    """Calls that come one after the other share one connection, whole answers and empty ones alike."""
    for number in range(5):
        await service.upload(f"key-{number}", CONTENT)
        await service.download(f"key-{number}")
        await service.exists("missing")
        await service.delete(f"key-{number}")

    assert server.connections == 1


async def test_only_so_many_parts_are_on_their_way(server: R2Server, make_service: ServiceMaker) -> None:
    """A source is not read further than the parts that may be sent at once and one more: memory is bounded."""
    answering = threading.Event()
    server.faults = [Fault("PUT", until=answering) for _ in range(2)]
    service = make_service(server.endpoint, parallel_parts=2)
    given = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(40):
            given += 1
            yield bytes(MIB)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.upload, "key", source())
        await wait_for(lambda: server.methods().count("PUT") == 2)
        await anyio.sleep(0.1)  # what must not happen has no event to wait for
        given_before = given
        answering.set()

    assert given_before <= 15
    assert len(server.objects["/bucket/key"].content) == 40 * MIB
