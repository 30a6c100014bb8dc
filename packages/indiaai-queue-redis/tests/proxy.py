"""A network that loses replies: a proxy in front of a server, under the tests' control."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self


class LossyProxy:
    """Passes bytes to and fro; armed, it lets the next command with a word in it through and cuts before the reply."""

    def __init__(self, port: int) -> None:
        """Stand before the server at a port of loopback."""
        self._target = port
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
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._relay(reader, writer, from_server, to_server)
        finally:
            for end in (writer, to_server):
                end.close()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        while command := await reader.read(65_536):
            to_server.write(command)
            await to_server.drain()
            reply = await from_server.read(65_536)
            if self._word is not None and self._word in command:
                self._word = None
                self.cuts += 1
                return
            writer.write(reply)
            await writer.drain()
