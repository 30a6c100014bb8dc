"""A network that loses replies: a proxy in front of a server, under the tests' control."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ssl import SSLContext
from typing import Self

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LossyProxy:
    """Passes bytes to and fro; armed, it lets the next command with a word in it through and cuts before the reply."""

    def __init__(self, port: int, *, ssl: SSLContext | None = None) -> None:
        """Stand before the server at a port of loopback; with a context, speak TLS to those who come."""
        self._target, self._ssl = port, ssl
        self._word: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.cuts = 0

    def lose_reply_to(self, word: bytes) -> None:
        """Cut the connection when the reply to the next command that holds the word comes back."""
        self._word = word

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut everything."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        losing = asyncio.Event()
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._relay((reader, to_server), (from_server, writer), losing)
        finally:
            for end in (writer, to_server):
                end.close()

    async def _relay(self, commands: Pipe, replies: Pipe, losing: asyncio.Event) -> None:
        """Pass both ways until either ends."""
        ways = [
            asyncio.create_task(self._pass_commands(*commands, losing)),
            asyncio.create_task(self._pass_replies(*replies, losing)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_commands(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await source.read(65_536):
            if self._word is not None and self._word in data:
                self._word = None
                losing.set()
            target.write(data)
            await target.drain()

    async def _pass_replies(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await source.read(65_536):
            if losing.is_set():
                self.cuts += 1
                return
            target.write(data)
            await target.drain()
