"""The connections that an event loop watches: whose they are, when they go, and that each request meets a live one."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import pytest

from indiaai_core import BackendUnavailable
from indiaai_storage_r2 import R2StorageService
from indiaai_storage_r2.lean.lines import Lines
from making import ServiceMaker, make_settings
from r2 import Fault, R2Server
from scripted import Conversation, ScriptedServer
from test_lean import EMPTY, HELLO, say_always

SMALL = bytes(range(256)) * 16
LARGE = SMALL * 256


@pytest.mark.anyio
async def test_a_thread_takes_the_loop_s_connection(server: R2Server, service: R2StorageService) -> None:
    """Small requests and large ones, one after the other, go over one connection, whoever has to make them."""
    for _ in range(3):
        await service.upload("small", SMALL)
        await service.upload("large", LARGE)
        assert await service.download("small") == SMALL
        assert await service.download("large") == LARGE

    assert server.connections == 1


def test_the_next_loop_takes_the_connections_of_one_that_ended(server: R2Server) -> None:
    """What an event loop held when it ended serves the next one."""
    service = R2StorageService(make_settings(server.endpoint))

    async def use() -> None:
        await service.upload("key", SMALL)
        assert await service.download("key") == SMALL

    asyncio.run(use())
    asyncio.run(use())
    asyncio.run(service.aclose())

    assert server.connections == 1


@pytest.mark.anyio
@pytest.mark.parametrize("said", [b"", HELLO], ids=["nothing", "an answer that nobody asked for"])
async def test_a_connection_that_ends_while_it_waits_is_let_go(said: bytes, make_service: ServiceMaker) -> None:
    """A store that closes a connection that waits, or talks on it, costs no request: the loop has closed it before."""
    ending = threading.Event()

    def answer_twice_and_end(conversation: Conversation) -> None:
        conversation.answer(EMPTY)
        conversation.answer(HELLO)
        ending.wait(10)
        conversation.socket.sendall(said)

    with ScriptedServer(answer_twice_and_end, say_always(HELLO)).running() as server:
        service = make_service(server.endpoint, retry_seconds=0)
        await service._connection.exchange(lambda client: client.head_object(Bucket="bucket", Key="key"))
        assert await service.download("key") == b"hello"
        lines = service._connection._turns().lines
        assert lines is not None
        assert lines.has_idle()
        ending.set()
        with anyio.fail_after(10):
            while lines.has_idle():  # noqa: ASYNC110 - what is waited for happens in the event loop's own callbacks
                await anyio.sleep(0.01)

        assert await service.download("key") == b"hello"
        assert server.connections == 2
        await service.aclose()


@pytest.mark.anyio
async def test_each_of_many_has_its_own_time(server: R2Server, make_service: ServiceMaker) -> None:
    """Requests that began at different times are all given up, and none before it has waited for as long as it may."""
    service = make_service(server.endpoint, retry_seconds=0, read_timeout_seconds=0.4)
    await service.upload("key", SMALL)
    await asyncio.gather(*(service.download("key") for _ in range(3)))
    answering = threading.Event()
    server.faults = [Fault("GET", until=answering) for _ in range(3)]

    async def wait_for_nothing(delay_seconds: float) -> float:
        await anyio.sleep(delay_seconds)
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="ReadTimeout"):
            await service.download("key")
        return time.monotonic() - began

    waited = await asyncio.gather(*(wait_for_nothing(delay) for delay in (0, 0.1, 0.3)))
    answering.set()

    assert min(waited) >= 0.39
    assert await service.download("key") == SMALL


def test_a_service_is_closed_from_another_loop(server: R2Server) -> None:
    """Whoever closes a service closes what an event loop of another thread holds too; that one may then go on."""
    service = R2StorageService(make_settings(server.endpoint))
    has_used, is_closed = threading.Event(), threading.Event()
    held: list[Lines] = []

    async def use() -> None:
        for _ in range(2):
            await service.upload("key", SMALL)
        held.append(service._connection._turns().lines or pytest.fail("nothing was held"))
        has_used.set()
        await anyio.to_thread.run_sync(is_closed.wait, 10)
        assert not held[0]._idle
        assert await service.download("key") == SMALL
        await service.aclose()

    thread = threading.Thread(target=asyncio.run, args=(use(),))
    thread.start()
    assert has_used.wait(10)
    asyncio.run(service.aclose())
    is_closed.set()
    thread.join(10)

    assert not thread.is_alive()
    assert server.connections == 2
