"""Small requests on the event loop: what goes there, what is left to a thread, and what becomes of either when it fails."""

from __future__ import annotations

import asyncio
import io
import select
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from indiaai_core import BackendUnavailable, ObjectNotFound
from indiaai_storage_r2 import R2StorageService
from indiaai_storage_r2.lean.exchanges import MAX_WHOLE_BYTES
from making import ServiceMaker
from r2 import Answer, Fault, R2Server
from scripted import Conversation, ScriptedServer
from test_lean import EMPTY, HELLO, cut_the_second, say_always

pytestmark = pytest.mark.anyio

SMALL = bytes(range(256)) * 16
LARGE = SMALL * 3000
HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "e"\r\nLast-Modified: Sat, 28 Feb 2026 23:59:58 GMT\r\n\r\n'


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to the worker threads."""
    from indiaai_storage_r2.workers import Workers

    given: list[object] = []
    start = Workers.start

    def count(self: Workers, function: Callable[[], Any]) -> Any:
        given.append(function)
        return start(self, function)

    monkeypatch.setattr(Workers, "start", count)
    return given


async def test_small_requests_need_no_thread(server: R2Server, service: R2StorageService, visits: list[object]) -> None:
    """Once a connection is there, small objects are put, got, looked at and deleted on the event loop, errors included."""
    await service.upload("key", SMALL)
    visits.clear()

    await service.upload("key", SMALL, metadata={"name": "value"})
    content = await service.download("key")
    part = b"".join([chunk async for chunk in service.stream("key", start=5, end=9)])
    info = await service.stat("key")
    is_deleted = await service.delete("key")

    assert (content, part, info.size, is_deleted) == (SMALL, SMALL[5:9], len(SMALL), True)
    assert visits == []
    assert server.connections == 1


@pytest.mark.parametrize("size", [0, 1, MAX_WHOLE_BYTES, MAX_WHOLE_BYTES + 1, 1024 * 1024])
async def test_every_size_comes_back(service: R2StorageService, size: int) -> None:
    """At the border between loop and thread, and far from it, the bytes are the same."""
    content = (SMALL * 256)[:size]
    await service.upload("key", content)

    await service.upload("key", content)

    assert await service.download("key") == content
    assert b"".join([chunk async for chunk in service.stream("key", chunk_size=1000)]) == content


async def test_many_at_once_share_the_connections(server: R2Server, make_service: ServiceMaker) -> None:
    """However many ask at once, no more requests are under way than may be, and all are answered."""
    service = make_service(server.endpoint, pool_size=3)
    await service.upload("key", SMALL)

    contents = await asyncio.gather(*(service.download("key") for _ in range(50)))

    assert set(contents) == {SMALL}
    assert server.connections <= 3


@pytest.mark.parametrize(
    "answer",
    [
        HELLO[:20] + b"|" + HELLO[20:],
        HELLO[:-5] + b"|" + HELLO[-5:],
        b"HTTP/1.1 100 Continue\r\n\r\n|" + HELLO,
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\nETag: "e"\r\n\r\n|5\r\nhello\r\n0\r\n\r\n',
        HELLO.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"),
    ],
    ids=["a cut head", "a late body", "interim", "chunks", "close"],
)
async def test_an_answer_may_come_in_any_way(answer: bytes, make_service: ServiceMaker) -> None:
    """Answers that come in pieces, in chunks, or behind interim ones are read as a thread reads them."""
    times = 1 if b"close" in answer else 2

    def speak(conversation: Conversation) -> None:
        conversation.answer(EMPTY)
        for _ in range(times):
            conversation.read()
            for piece in answer.split(b"|"):
                conversation.socket.sendall(piece)
                time.sleep(0.02)  # so that they come one by one

    with ScriptedServer(speak).running() as server:
        service = make_service(server.endpoint, retry_seconds=0)
        await service._connection.exchange(lambda client: client.head_object(Bucket="bucket", Key="key"))

        contents = {await service._connection.converse(ask_for_it, read_body, key="key") for _ in range(times)}

    assert contents == {b"hello"}


def ask_for_it() -> tuple[str, dict[str, str]]:
    """Ask for the object."""
    return "get_object", {"Bucket": "bucket", "Key": "key"}


def read_body(answer: Any) -> bytes:
    """Read all of an answer's body."""
    return b"".join(iter(lambda: answer["Body"].read(1000), b""))


async def test_a_question_that_is_cut_is_asked_again(make_service: ServiceMaker) -> None:
    """A kept connection that is reset under a download costs a new connection, and no retry."""
    server = ScriptedServer(cut_the_second, say_always(HELLO))
    with server.running():
        service = make_service(server.endpoint, retry_seconds=0)
        await service._connection.exchange(lambda client: client.head_object(Bucket="bucket", Key="key"))

        content = await service.download("key")
        await service.aclose()

    assert content == b"hello"
    assert len(server.requests) == 3


async def test_a_change_that_is_cut_is_told(make_service: ServiceMaker) -> None:
    """A small write that went out, and was not answered, is not sent again where nobody knows what became of it."""
    server = ScriptedServer(cut_the_second, say_always(EMPTY))
    with server.running():
        service = make_service(server.endpoint, retry_seconds=0)
        await service._connection.exchange(lambda client: client.head_object(Bucket="bucket", Key="key"))

        with pytest.raises(BackendUnavailable, match="did not answer"):
            await service.upload("key", b"content")

    assert len(server.requests) == 2


@pytest.mark.parametrize("said", [b"", HELLO[:20], HELLO[:-3]], ids=["nothing", "half a head", "half a body"])
async def test_a_silent_store_is_given_up(said: bytes, make_service: ServiceMaker) -> None:
    """Silence before an answer and within one lasts as long as it may, on the event loop as in a thread."""
    done = threading.Event()

    def be_silent(conversation: Conversation) -> None:
        conversation.answer(HEAD.replace(b"Content-Length: 5", b"Content-Length: 0"))
        conversation.answer(said)
        done.wait(10)

    with ScriptedServer(be_silent).running() as server:
        service = make_service(server.endpoint, retry_seconds=0, read_timeout_seconds=0.2)
        await service._connection.exchange(lambda client: client.head_object(Bucket="bucket", Key="key"))
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="ReadTimeout"):
            await service.download("key")
        lasted = time.monotonic() - began
        done.set()

    assert lasted < 5


async def test_a_cancelled_read_closes_its_connection(server: R2Server, service: R2StorageService) -> None:
    """Whoever stops waiting for an answer takes its connection along, and the next call gets its own answer."""
    await service.upload("key", SMALL)
    await service.upload("other", b"other")
    answering = threading.Event()
    server.faults = [Fault("GET", until=answering)]

    with anyio.move_on_after(0.1):
        await service.download("key")
    answering.set()

    assert await service.download("other") == b"other"
    assert server.connections == 2


async def test_a_cancelled_write_is_over_when_it_is_told(server: R2Server, service: R2StorageService) -> None:
    """A small object that has gone out is stored or not when the caller hears of its cancellation: nothing changes later."""
    await service.upload("warm", SMALL)
    answering = threading.Event()
    server.faults = [Fault("PUT", until=answering)]
    task = asyncio.create_task(service.upload("key", SMALL))
    while len(server.requests) < 2:  # noqa: ASYNC110 - what is waited for happens in a server's thread
        await anyio.sleep(0.01)

    task.cancel()
    threading.Timer(0.2, answering.set).start()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert server.objects["/bucket/key"].content == SMALL
    assert await service.download("warm") == SMALL


async def test_a_service_is_closed_behind_what_is_under_way(server: R2Server, service: R2StorageService) -> None:
    """`aclose` waits for the answers that the event loop waits for, and nothing is left open."""
    await service.upload("key", SMALL)
    answering = threading.Event()
    server.faults = [Fault("GET", until=answering)]
    download = asyncio.create_task(service.download("key"))
    while len(server.requests) < 2:  # noqa: ASYNC110 - what is waited for happens in a server's thread
        await anyio.sleep(0.01)

    closing = asyncio.create_task(service.aclose())
    threading.Timer(0.1, answering.set).start()
    await closing

    assert download.done() or await download == SMALL
    assert await download == SMALL


async def test_a_request_that_does_not_fit_goes_on_in_a_thread(
    server: R2Server, service: R2StorageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system takes only a part of a request at once, the rest follows, and the object is whole."""
    await service.upload("key", SMALL)
    send = socket.socket.send

    def send_little(self: socket.socket, data: Any, flags: int = 0, /) -> int:
        return send(self, bytes(data)[:100] if self.gettimeout() == 0 else data, flags)

    with monkeypatch.context() as patch:
        patch.setattr("indiaai_storage_r2.lean.channels.socket.socket.send", send_little)
        await service.upload("key", SMALL[::-1])

    assert server.objects["/bucket/key"].content == SMALL[::-1]


async def test_over_tls_tickets_are_no_answers(tls_server: R2Server, make_service: ServiceMaker, visits: list[object]) -> None:
    """Over TLS 1.3 small requests go the same way, and what TLS says for itself is not taken for an answer."""
    service = make_service(tls_server.endpoint)
    await service.upload("key", SMALL)
    visits.clear()

    for _ in range(3):
        await service.upload("key", SMALL)
        assert await service.download("key") == SMALL
    with pytest.raises(ObjectNotFound):
        await service.download("missing")

    assert visits == []


async def test_a_loop_without_readers_uses_threads(
    server: R2Server, service: R2StorageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an event loop that watches no sockets, as Windows' own, everything works."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    await service.upload("key", SMALL)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)

    await service.upload("key", SMALL[::-1])

    assert await service.download("key") == SMALL[::-1]


async def test_a_system_without_poll_selects(
    server: R2Server, service: R2StorageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `select` has nothing but itself, as on Windows, small objects and parts go and come."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    for name in ("poll", "POLLIN", "POLLOUT"):
        monkeypatch.delattr(select, name)

    for _ in range(2):  # on a new connection, and on one that was kept
        await service.upload("small", SMALL)
        await service.upload("large", io.BytesIO(LARGE))

        assert await service.download("small") == SMALL
        assert await service.download("large") == LARGE


async def test_each_event_loop_may_ask(server: R2Server, service: R2StorageService) -> None:
    """Loops of several threads share a service and its connections."""

    async def use(number: int) -> None:
        for _ in range(20):
            await service.upload(f"key {number}", SMALL)
            assert await service.download(f"key {number}") == SMALL

    def run(number: int) -> None:
        asyncio.run(use(number))

    calls: list[Awaitable[None]] = [anyio.to_thread.run_sync(run, number) for number in range(4)]
    await asyncio.gather(*calls)

    assert len(server.objects) == 4


async def test_a_refusal_has_its_words(server: R2Server, service: R2StorageService) -> None:
    """What the store says against a small request is the same error as in a thread."""
    await service.upload("key", SMALL)
    server.faults = [Fault("PUT", answer=Answer(507, {}, b"<Error><Code>Full</Code></Error>")) for _ in range(2)]

    with anyio.fail_after(10):
        await service.upload("key", SMALL)

    assert server.faults == []
    assert server.objects["/bucket/key"].content == SMALL
