"""A network that is cut in the middle of commands and of answers; imported by the chaos tests."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Self

__all__ = ["CuttingProxy"]

DICE = random.Random()  # noqa: S311 - moments, not secrets


class CuttingProxy:
    """Passes bytes to a server and back, until it is told to cut: then the next bytes of each connection go on in part.

    Attributes:
        port: Where it listens on the loopback.
        cuts: How many connections it has cut so far.
    """

    def __init__(self, port: int) -> None:
        """Stand before the server at a port of the loopback."""
        self._target = port
        self._server: asyncio.Server | None = None
        self._doomed: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cuts = 0

    def cut(self) -> None:
        """Doom every connection that there is: whichever way its next bytes go, only some of them arrive."""
        for event in self._doomed:
            event.set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every connection."""
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
        doom = asyncio.Event()
        self._doomed.add(doom)
        writers = [writer]
        try:
            with suppress(OSError, asyncio.CancelledError):
                answers, commands = await asyncio.open_connection("127.0.0.1", self._target)
                writers.append(commands)
                ways = [asyncio.create_task(self._pass(*way, doom)) for way in ((reader, commands), (answers, writer))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._doomed.discard(doom)
            for each in writers:
                each.transport.abort()  # what is still on its way is dropped

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, doom: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if doom.is_set():
                    self.cuts += 1
                    target.write(data[: DICE.randrange(len(data))])
                    with suppress(TimeoutError):
                        await asyncio.wait_for(target.drain(), 1)
                    return
                target.write(data)
                await target.drain()
