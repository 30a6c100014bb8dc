"""The channel by itself: over a line under the test's control, and over a real one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import Connection

from indiaai_queue_redis.address import Address
from indiaai_queue_redis.channel import Channel, pack
from indiaai_queue_redis.trouble import Breakdown, Refusal, Silence, Trouble
from indiaai_queue_redis.wire import Borrowed, Wire
from redisserver import RedisServer

pytestmark = pytest.mark.anyio

PING = pack(("PING",))


class Line:
    """A socket's end that notes what is written, and says what the test wants it to."""

    def __init__(self) -> None:
        """Begin with an open line."""
        self.written: list[bytes] = []
        self.is_aborted = False
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        """Take the channel for the one who listens."""
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        """Note what is sent."""
        self.written.append(data)

    def abort(self) -> None:
        """End, as asyncio's transports do: the channel hears of it in the next turn of the loop."""
        if not self.is_aborted:
            self.is_aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


def channel_on(line: Line, *, timeout_seconds: float = 5) -> Channel:
    """Return a channel that took over a connection which has shaken hands."""
    writer: Any = SimpleNamespace(transport=line)
    return Channel(writer, timeout_seconds=timeout_seconds)


def wire_to(server: RedisServer) -> Wire:
    """Return a connection to a server that is to be made."""
    address = Address.of(server.url())
    return Wire(address, address.places[0], address.login, timeout_seconds=20)


async def outcome_of(call: asyncio.Future[Any]) -> Any:
    """Return what a call gives, or the error that it raises."""
    async with asyncio.timeout(5):
        try:
            return await call
        except Trouble as error:
            return error


async def test_lone_call_is_written_at_once() -> None:
    """Where nothing is under way, a command is on the line before its caller waits."""
    line = Line()
    channel = channel_on(line)

    call = channel.call(PING)

    assert line.written == [PING]
    line.protocol.data_received(b"+PONG\r\n")
    assert await call == b"PONG"


async def test_calls_of_one_turn_share_a_write() -> None:
    """What is sent while a call is under way goes out at the end of the turn, in one write and in order."""
    line = Line()
    channel = channel_on(line)

    calls = [channel.call(pack(("ECHO", n))) for n in range(10)]
    await asyncio.sleep(0)

    assert line.written == [pack(("ECHO", 0)), b"".join(pack(("ECHO", n)) for n in range(1, 10))]
    line.protocol.data_received(b"".join(b":%d\r\n" % n for n in range(10)))
    assert [await call for call in calls] == list(range(10))


@given(replies=st.lists(st.binary(max_size=20), min_size=1, max_size=8), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_replies_arrive_in_any_pieces(replies: list[bytes], cuts: list[int]) -> None:
    """However the line cuts the bytes, each call gets its own reply."""

    async def run() -> list[Any]:
        line = Line()
        channel = channel_on(line)
        calls = [channel.call(PING) for _ in replies]
        stream = b"".join(b"$%d\r\n%b\r\n" % (len(reply), reply) for reply in replies)
        ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
        for first, last in pairwise(ends):
            line.protocol.data_received(stream[first:last])
        received = [await call for call in calls]
        await channel.aclose()
        return received

    assert asyncio.run(run()) == replies


async def test_refusal_is_raised_with_the_servers_words() -> None:
    """An error that the server answers with fails its call only, with its code and its text."""
    line = Line()
    channel = channel_on(line)
    calls = [channel.call(PING), channel.call(PING)]

    line.protocol.data_received(b"-MOVED 1 127.0.0.1:7001\r\n+PONG\r\n")

    refusal = await outcome_of(calls[0])
    assert isinstance(refusal, Refusal)
    assert str(refusal) == "MOVED 1 127.0.0.1:7001"
    assert await calls[1] == b"PONG"
    assert channel.is_open


async def test_cancelled_caller_disturbs_no_other() -> None:
    """The reply to a call whose caller is gone is dropped; those behind it get theirs."""
    line = Line()
    channel = channel_on(line)
    first, second, third = (channel.call(PING) for _ in range(3))

    second.cancel()
    line.protocol.data_received(b":1\r\n:2\r\n:3\r\n")

    assert (await first, await third) == (1, 3)


async def test_first_of_two_is_passed_over_unless_it_was_refused() -> None:
    """Of two commands in one write the second's reply is given, or the first's refusal."""
    line = Line()
    channel = channel_on(line)
    calls = [channel.call(PING + PING, is_second=True) for _ in range(2)]

    line.protocol.data_received(b"*-1\r\n:1\r\n-NOPERM not yours\r\n:2\r\n")

    assert await calls[0] == 1
    assert "NOPERM" in str(await outcome_of(calls[1]))


async def test_nothing_is_written_while_the_line_is_full() -> None:
    """Between pause and resume commands are held back; then they go out in order and once."""
    line = Line()
    channel = channel_on(line)
    first = channel.call(pack(("ECHO", 0)))
    line.protocol.pause_writing()

    later = [channel.call(pack(("ECHO", n))) for n in range(1, 4)]
    for _ in range(3):
        await asyncio.sleep(0)
    held = list(line.written)
    line.protocol.resume_writing()

    assert held == [pack(("ECHO", 0))]
    assert line.written == [pack(("ECHO", 0)), b"".join(pack(("ECHO", n)) for n in range(1, 4))]
    line.protocol.data_received(b":0\r\n:1\r\n:2\r\n:3\r\n")
    assert [await call for call in (first, *later)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01", b"$-7\r\n", b"*99999999999999999999\r\n"]
)
async def test_garbage_fails_what_is_under_way(noise: bytes) -> None:
    """What is no answer of Redis breaks the channel, and every call gets an error of its own."""
    line = Line()
    channel = channel_on(line)
    calls = [channel.call(PING), channel.call(PING)]

    line.protocol.data_received(noise)

    errors = [await outcome_of(call) for call in calls]
    assert [type(error) for error in errors] == [Breakdown] * 2
    assert errors[0] is not errors[1]
    assert not channel.is_open
    assert line.is_aborted


async def test_answer_that_nobody_asked_for_breaks_the_channel() -> None:
    """One reply too many means that answers and calls are no longer in step: nothing more is believed."""
    line = Line()
    channel = channel_on(line)
    call = channel.call(PING)

    line.protocol.data_received(b":1\r\n:2\r\n")

    assert await call == 1
    with pytest.raises(Breakdown):
        channel.call(PING)
    assert line.written == [PING]


async def test_line_cut_in_a_reply_fails_what_is_under_way() -> None:
    """Cut amid a reply, the calls that lack theirs fail, what was held back is never written, and nothing more can be sent."""
    line = Line()
    channel = channel_on(line)
    calls = [channel.call(PING) for _ in range(3)]
    line.protocol.data_received(b":1\r\n$10\r\nhalf")

    line.protocol.connection_lost(ConnectionResetError("reset"))
    await asyncio.sleep(0)

    assert await calls[0] == 1
    assert ["reset" in str(await outcome_of(call)) for call in calls[1:]] == [True, True]
    assert line.written == [PING]
    with pytest.raises(Breakdown):
        channel.call(PING)


async def test_silent_server_is_given_up() -> None:
    """A call that gets no answer in time fails as a timeout, soon after; one timer watches over all."""
    line = Line()
    channel = channel_on(line, timeout_seconds=0.1)
    began = asyncio.get_running_loop().time()
    calls = [channel.call(PING) for _ in range(100)]

    errors = [await outcome_of(call) for call in calls]

    assert {type(error) for error in errors} == {Silence}
    assert 0.1 <= asyncio.get_running_loop().time() - began < 2
    assert line.is_aborted


async def test_slow_server_that_answers_is_not_given_up() -> None:
    """Answers that each come in time keep the channel open, however long they take together."""
    line = Line()
    channel = channel_on(line, timeout_seconds=0.4)

    for n in range(12):
        call = channel.call(PING)
        await asyncio.sleep(0.05)
        line.protocol.data_received(b":%d\r\n" % n)
        assert await call == n

    assert channel.is_open
    await channel.aclose()


@pytest.mark.parametrize(("pause_seconds", "is_awake"), [(0.0, True), (0.002, False)], ids=["near", "far"])
async def test_loop_is_kept_awake_for_near_servers_only(
    monkeypatch: pytest.MonkeyPatch, pause_seconds: float, is_awake: bool
) -> None:
    """For the answer to a lone call the loop turns on for a moment, unless the server has shown to take longer than that."""
    line = Line()
    channel = channel_on(line)
    for _ in range(20):
        call = channel.call(PING)
        await asyncio.sleep(pause_seconds)
        line.protocol.data_received(b"+PONG\r\n")
        await call
        await asyncio.sleep(0)
    turns, loop = 0, asyncio.get_running_loop()
    call_soon = loop.call_soon

    def count(*arguments: Any, **options: Any) -> asyncio.Handle:
        nonlocal turns
        turns += 1
        return call_soon(*arguments, **options)

    monkeypatch.setattr(loop, "call_soon", count)
    channel.call(PING).add_done_callback(lambda call: call.exception())
    asked_at_once = turns
    monkeypatch.undo()
    await channel.aclose()

    assert (asked_at_once > 0) == is_awake


@pytest.mark.parametrize("is_borrowed", [False, True], ids=["own", "of the client"])
async def test_connection_is_taken_over(shared_server: RedisServer, is_borrowed: bool) -> None:
    """Whoever connected, hundreds of calls share the socket after that, and closing it leaves nothing to warn of."""
    connection = Connection(host="127.0.0.1", port=shared_server.port, protocol=2)
    wire = Borrowed(connection, timeout_seconds=5) if is_borrowed else wire_to(shared_server)
    channel = await Channel.open(wire, timeout_seconds=5)

    echoed = await asyncio.gather(*(channel.call(pack(("ECHO", f"{n}" * 1000))) for n in range(500)))

    await channel.aclose()
    del connection, wire, channel
    gc.collect()
    assert echoed == [(f"{n}" * 1000).encode() for n in range(500)]


async def test_large_commands_wait_for_the_line(shared_server: RedisServer) -> None:
    """More than a socket holds is sent as fast as the server reads, and is whole."""
    channel = await Channel.open(wire_to(shared_server), timeout_seconds=20)
    texts = [bytes([65 + n]) * 3_000_000 for n in range(8)]

    echoed = await asyncio.gather(*(channel.call(pack(("ECHO", text))) for text in texts))

    await channel.aclose()
    assert echoed == texts


async def test_server_that_closes_is_noticed_without_a_call(shared_server: RedisServer) -> None:
    """A connection that the server ended is not used again."""
    channel, other = [await Channel.open(wire_to(shared_server), timeout_seconds=5) for _ in range(2)]
    own_id = await channel.call(pack(("CLIENT", "ID")))

    await other.call(pack(("CLIENT", "KILL", "ID", own_id)))

    await eventually(lambda: not channel.is_open)
    await other.aclose()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for a few seconds at most."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)
