"""The lean client on the wire: connections kept and lost, answers of every kind, servers that mean harm."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, StorageError
from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.failures import ConnectionCut, Refused, Unanswered
from making import ServiceMaker
from scripted import Conversation, Exchange, ScriptedServer

MIB = 1024 * 1024
TARGET = {"Bucket": "bucket", "Key": "key"}
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "e"\r\n\r\nhello'
EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\n\r\n'


@contextmanager
def client_of(server: ScriptedServer, **values: Any) -> Iterator[LeanClient]:
    """Run the server, and make a client for it."""
    with server.running():
        client = LeanClient(server.endpoint, access_key_id="id", secret_access_key="secret", **{"read_seconds": 5, **values})
        try:
            yield client
        finally:
            client.close()


def say(*answers: bytes) -> Exchange:
    """Answer one request after the other, then end."""

    def exchange(conversation: Conversation) -> None:
        for answer in answers:
            conversation.answer(answer)

    return exchange


def say_always(answer: bytes) -> Exchange:
    """Answer requests for as long as there are any."""

    def exchange(conversation: Conversation) -> None:
        while True:
            conversation.answer(answer)

    return exchange


def read(answer: dict[str, Any], size: int | None = None) -> bytes:
    """Read the body of an answer to its end."""
    return b"".join(iter(lambda: answer["Body"].read(size), b""))


class Source:
    """A body that is read piece by piece."""

    def __init__(self, content: bytes, *, before_read: Callable[[int], object] = lambda _: None) -> None:
        self._content = content
        self._position = 0
        self._before_read = before_read

    def __len__(self) -> int:
        return len(self._content)

    def seek(self, position: int) -> None:
        """Go to a byte."""
        self._position = position

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        self._before_read(self._position)
        piece = self._content[self._position : self._position + size]
        self._position += len(piece)
        return piece


def test_a_connection_is_kept() -> None:
    """Requests that follow each other go over one connection, whatever they ask for."""
    server = ScriptedServer(
        say(HELLO, EMPTY, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", b"HTTP/1.1 204 No Content\r\n\r\n", HELLO)
    )

    with client_of(server) as client:
        first = read(client.get_object(**TARGET))
        client.put_object(**TARGET, Body=b"content")
        with pytest.raises(Refused):
            client.get_object(**TARGET)
        client.delete_object(**TARGET)
        last = read(client.get_object(**TARGET))

    assert first == last == b"hello"
    assert server.connections == 1


def test_an_answer_is_boto3_s() -> None:
    """Headers come back under boto3's names, metadata apart, the time as a datetime, and absent ones not at all."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-length:  7 \r\nETag: \"e\"\r\nLAST-MODIFIED: Sat, 28 Feb 2026 23:59:58 GMT\r\n"
        b"Content-Type: text/plain\r\nCache-Control: no-store\r\nContent-Disposition: inline\r\nx-amz-meta-Name: a b\r\n\r\n"
    )  # fmt: skip

    with client_of(ScriptedServer(say(head))) as client:
        answer = client.head_object(**TARGET)

    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert answer == {
        "ContentLength": 7,
        "ETag": '"e"',
        "LastModified": datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC),
        "ContentType": "text/plain",
        "CacheControl": "no-store",
        "ContentDisposition": "inline",
        "Metadata": {"name": "a b"},
    }


@pytest.mark.parametrize("size", [1, 3, 4096, None])
def test_a_body_is_read_in_pieces_of_any_size(size: int | None) -> None:
    """A body that comes with its length, in chunks, in single bytes or with interim answers before it is the same bytes."""
    content = bytes(range(256)) * 8
    chunks = b"".join(
        b"%x;ext=1\r\n%s\r\n" % (len(content[at : at + 300]), content[at : at + 300]) for at in range(0, 2048, 300)
    )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-trailer: 1\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\nContent-Length: 2048\r\n\r\n" + content

    def slowly(conversation: Conversation) -> None:
        conversation.answer(sized)
        conversation.answer(*(chunked[at : at + 1] for at in range(len(chunked))))
        conversation.answer(interim + sized)

    server = ScriptedServer(slowly)
    with client_of(server) as client:
        bodies = [read(client.get_object(**TARGET), size) for _ in range(3)]

    assert bodies == [content] * 3
    assert server.connections == 1


def test_a_body_that_is_not_wanted_costs_its_connection_alone() -> None:
    """Closed before its end, a body closes its connection, and gives nothing more."""
    server = ScriptedServer(say_always(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello"), say(HELLO))

    with client_of(server) as client:
        body = client.get_object(**TARGET)["Body"]
        begin = body.read(5)
        body.close()
        body.close()
        rest = body.read(5)
        other = read(client.get_object(**TARGET))

    assert (begin, rest, other) == (b"hello", b"", b"hello")
    assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n"],
)
def test_a_connection_that_is_to_end_is_not_used_again(head: bytes) -> None:
    """Where the answer says that the connection ends, the next request opens another one."""
    server = ScriptedServer(say(head + b"Content-Length: 5\r\n\r\nhello", HELLO))

    with client_of(server) as client:
        for _ in range(2):
            assert read(client.get_object(**TARGET)) == b"hello"

    assert server.connections == 2


@pytest.mark.parametrize("ask", ["get_object", "head_object", "put_object", "delete_object"])
def test_a_stale_connection_is_found(ask: str) -> None:
    """A connection that the store closed while it waited is not used: the request goes out once, on a new one."""
    server = ScriptedServer(say(EMPTY), say(EMPTY))
    parameters = {**TARGET, "Body": b"content"} if ask == "put_object" else TARGET

    with client_of(server) as client:
        client.head_object(**TARGET)
        wait_until(lambda: not client._pool._idle[0].is_quiet())
        getattr(client, ask)(**parameters)

    assert server.connections == 2
    assert len(server.requests) == 2


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def cut_the_second(conversation: Conversation) -> None:
    """Answer a request, read another, and reset the connection."""
    conversation.answer(EMPTY)
    conversation.read()
    conversation.reset()


def test_a_question_is_asked_again_on_a_new_connection() -> None:
    """A GET on a kept connection that is cut before an answer is asked again at once: nothing can have been done."""
    server = ScriptedServer(cut_the_second, say(HELLO))

    with client_of(server) as client:
        client.head_object(**TARGET)
        content = read(client.get_object(**TARGET))

    assert content == b"hello"
    assert len(server.requests) == 3


@pytest.mark.parametrize("ask", ["put_object", "delete_object"])
def test_a_change_is_never_sent_twice_blindly(ask: str) -> None:
    """A write that went out and was not answered is told as such: whoever knows what it means decides."""
    server = ScriptedServer(cut_the_second, say(HELLO))
    parameters = {**TARGET, "Body": b"content"} if ask == "put_object" else TARGET

    with client_of(server) as client:
        client.head_object(**TARGET)
        with pytest.raises(ConnectionCut):
            getattr(client, ask)(**parameters)

    assert len(server.requests) == 2


def test_a_new_connection_that_is_cut_is_not_tried_again() -> None:
    """Only what may be stale is: a store that cuts a new connection is unavailable."""
    server = ScriptedServer(lambda conversation: conversation.reset())

    with client_of(server) as client, pytest.raises(Unanswered):
        client.get_object(**TARGET)

    assert server.connections == 1


HOSTILE = {
    "nothing": b"",
    "garbage": b"\x00\xff\x16\x03\x01" * 20_000,
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "an impossible status": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "another version": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a switch": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"x-header: value\r\n" * 10_000,
    "an endless line": b"HTTP/1.1 200 OK\r\nx-header: " + b"x" * 300_000,
    "a folded header": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded\r\n\r\nhello",
    "a header without a name": b"HTTP/1.1 200 OK\r\n: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a blank in a name": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two lengths in one": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "a length in other digits": "HTTP/1.1 200 OK\r\nContent-Length: ²5\r\n\r\nhello".encode("latin-1"),
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "fewer bytes than it says": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a huge chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nhello",
    "a chunk that is longer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "an endless chunk line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5" * 100_000,
    "endless trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_not_http_is_no_answer(answer: bytes) -> None:
    """Whatever comes that is not a whole answer ends in an error, soon, and its connection is not used again."""
    server = ScriptedServer(say(answer), say(HELLO))

    with client_of(server) as client:
        with pytest.raises(Unanswered):
            read(client.get_object(**TARGET))
        content = read(client.get_object(**TARGET))

    assert content == b"hello"


@pytest.mark.anyio
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_is_not_http_makes_the_store_unavailable(answer: bytes, make_service: ServiceMaker) -> None:
    """Through the service, reading and writing, it is `BackendUnavailable`, and never bytes that are not the object's."""
    with ScriptedServer(say(answer)).running() as server:
        service = make_service(server.endpoint, retry_seconds=0, read_timeout_seconds=5)
        with pytest.raises(BackendUnavailable):
            await service.download("key")
        with pytest.raises((BackendUnavailable, StorageError)):
            await service.upload("key", b"content")


def test_a_second_answer_is_nobody_s() -> None:
    """Bytes behind an answer's end are not taken for the next request's answer."""
    server = ScriptedServer(say(HELLO + HELLO.replace(b"hello", b"wrong")), say(HELLO))

    with client_of(server) as client:
        contents = [read(client.get_object(**TARGET)) for _ in range(2)]

    assert contents == [b"hello", b"hello"]
    assert server.connections == 2


def test_a_silent_server_is_given_up() -> None:
    """Silence, before an answer and within one, lasts as long as it may and no longer."""
    done = threading.Event()

    def be_silent(conversation: Conversation) -> None:
        conversation.answer(HELLO[: -3 * server.connections])
        done.wait(10)

    server = ScriptedServer(be_silent)
    with client_of(server, read_seconds=0.2) as client:
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Unanswered, match="ReadTimeout"):
                read(client.get_object(**TARGET))
        lasted = time.monotonic() - began
        done.set()

    assert lasted < 5


def test_a_head_that_drips_is_given_up() -> None:
    """A server that sends a byte of its head from time to time holds a thread no longer than a silent one twice over."""

    def drip(conversation: Conversation) -> None:
        conversation.read()
        for byte in HELLO * 1000:
            conversation.socket.sendall(bytes([byte]))
            done.wait(0.05)

    done = threading.Event()
    with client_of(ScriptedServer(drip), read_seconds=0.3) as client:
        with pytest.raises(Unanswered, match="no end"):
            client.get_object(**TARGET)
        done.set()


def test_nobody_there_is_no_answer() -> None:
    """A port that nobody listens at, and a name that no host has, are told as such."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for host in (f"127.0.0.1:{port}", "no-such-host.invalid", "." * 100):
        client = LeanClient(f"http://{host}", access_key_id="id", secret_access_key="secret")
        with pytest.raises(Unanswered):
            client.get_object(**TARGET)


REFUSAL = b"<?xml version='1.0'?><Error><Code>Access&amp;Denied</Code><Message>a &lt; b</Message></Error>"
CHUNKED_REFUSAL = b"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(REFUSAL), REFUSAL)


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (b"HTTP/1.1 403 x\r\nContent-Length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL), "Access&Denied", "a < b"),
        (CHUNKED_REFUSAL, "Access&Denied", "a < b"),
        (b"HTTP/1.1 403 x\r\nContent-Length: 43\r\n\r\n<Error><Code>AccessDenied</Code></Error>   ", "AccessDenied", ""),
        (b"HTTP/1.1 503 x\r\nContent-Length: 20\r\n\r\n<html>sorry</html>  ", "503", ""),
        (b"HTTP/1.1 301 x\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "301", ""),
        (b"HTTP/1.1 500 x\r\nContent-Length: 1000\r\n\r\ncut", "500", ""),
        (b"HTTP/1.1 500 x\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200_000, "500", ""),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\nwhatever", "502", ""),
    ],
)  # fmt: skip
def test_a_refusal_has_boto3_s_form(answer: bytes, code: str, message: str) -> None:
    """Code and message are the store's own, or else the status, whatever else the body holds and however long it is."""
    with client_of(ScriptedServer(say(answer))) as client, pytest.raises(Refused) as refused:
        client.get_object(**TARGET)

    assert refused.value.response["Error"] == {"Code": code, "Message": message}
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == int(answer[9:12])
    assert refused.value.operation_name == "GetObject"


@pytest.mark.parametrize("size", [0, 1, 4096, 128 * 1024, 128 * 1024 + 1, 3 * MIB])
def test_a_body_goes_out_whole(size: int) -> None:
    """A body of any size, in memory or read piece by piece, goes out with its length, plainly and once."""
    content = bytes(range(251)) * (size // 251 + 1)
    bodies: list[Any] = [content[:size], bytearray(content[:size]), memoryview(content)[:size], Source(content[:size])]
    server = ScriptedServer(say_always(EMPTY))

    with client_of(server) as client:
        for body in bodies:
            client.put_object(**TARGET, Body=body)

    for request in server.requests:
        head, _, sent = request.partition(b"\r\n\r\n")
        assert sent == content[:size]
        assert b"content-length: %d" % size in head
        assert b"expect" not in head.lower()
        assert b"transfer-encoding" not in head.lower()
    assert len(server.requests) == len(bodies)


def test_a_body_that_ends_early_is_not_an_object() -> None:
    """A source that has fewer bytes than it said breaks the request off: the store gets no shorter object."""

    class Longer(Source):
        def __len__(self) -> int:
            return super().__len__() + 1

    server = ScriptedServer(say(EMPTY))

    with client_of(server) as client, pytest.raises(EOFError):
        client.put_object(**TARGET, Body=Longer(b"x" * MIB))

    assert not [request for request in server.requests if request.endswith(b"x" * MIB)]


def test_a_body_can_be_stopped() -> None:
    """What a source raises while it is sent ends the request and its connection, and comes out as it is."""

    def stop(position: int) -> None:
        if position >= MIB and server.connections:
            raise InterruptedError("stopped")

    server = ScriptedServer(say(EMPTY))
    with client_of(server) as client, pytest.raises(InterruptedError):
        client.put_object(**TARGET, Body=Source(bytes(8 * MIB), before_read=stop), ContentMD5="x")

    assert not client._pool._idle


@pytest.mark.parametrize("how", ["goes on reading", "stops reading", "closes", "resets"])
def test_an_early_refusal_is_told(how: str) -> None:
    """A store that refuses a large body before it has all of it is heard, whatever it does with the rest."""
    refusal = b"HTTP/1.1 412 x\r\nContent-Length: 46\r\n\r\n<Error><Code>PreconditionFailed</Code></Error>"
    done = threading.Event()

    def refuse(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.socket.recv(100_000)
        conversation.socket.sendall(refusal)
        if how == "goes on reading":
            while conversation.socket.recv(100_000):
                pass
        if how == "stops reading":
            done.wait(10)
        if how == "resets":
            conversation.socket.shutdown(socket.SHUT_WR)
            conversation.reset()

    server = ScriptedServer(refuse)
    with client_of(server) as client:
        with pytest.raises(Refused) as refused:
            client.put_object(**TARGET, Body=Source(bytes(32 * MIB)))
        done.set()

    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    assert not client._pool._idle


def test_an_early_success_is_none() -> None:
    """A store that says yes before it has all bytes is not believed."""

    def agree(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.socket.sendall(EMPTY)
        while conversation.socket.recv(100_000):
            pass

    with client_of(ScriptedServer(agree)) as client, pytest.raises(Unanswered, match="before all bytes"):
        client.put_object(**TARGET, Body=Source(bytes(32 * MIB)))


def test_idle_connections_are_bounded() -> None:
    """However many requests were under way at once, no more connections are kept than may be."""
    server = ScriptedServer(say_always(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))

    with client_of(server, max_idle=3) as client:
        answers = [client.get_object(**TARGET) for _ in range(10)]
        waiting = [channel for answer in answers for channel in [answer["Body"]._channel] if channel]
        contents = {read(answer) for answer in answers}
        kept = len(client._pool._idle)

    assert contents == {b"hello"}
    assert len(waiting) == server.connections == 10
    assert kept == 3
