"""A stretch of network before PostgreSQL that resets connections at moments nobody chose; used by the chaos tests."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["ResettingNetwork"]

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: what a closed socket sends is a reset, and what it still had to send is gone."""


class ResettingNetwork:
    """Forwards connections in small pieces, and resets one when it is told to.

    Attributes:
        count: How many were reset.
    """

    def __init__(self, url: str) -> None:
        """Stand before the server of a URL."""
        self._url = urlsplit(url)
        self._port = 0
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.count = 0

    @property
    def url(self) -> str:
        """The URL by which the same database is reached through here."""
        return self._url._replace(netloc=f"{self._url.username}:{self._url.password}@127.0.0.1:{self._port}").geturl()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ResettingNetwork]:
        """Forward for the time of a block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for ends in list(self._open):
                self._reset(ends)

    def reset_one(self, dice: random.Random) -> None:
        """Reset any connection, on both sides."""
        if self._open:
            self.count += 1
            self._reset(dice.choice(sorted(self._open, key=id)))

    def _reset(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._open.discard(ends)
        for end in ends:
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # at the end of the loop: asyncio would call it an error
            await self._forward(reader, writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._url.hostname, self._url.port)
        ends = (writer, to_server)
        self._open.add(ends)
        pumps = [asyncio.ensure_future(self._pump(*ways)) for ways in ((reader, to_server), (from_server, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            self._open.discard(ends)
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(512):
                sink.write(data)
                await sink.drain()
