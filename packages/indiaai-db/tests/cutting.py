"""A stretch of network between a client and PostgreSQL that breaks at COMMIT; used by the tests of lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

import asyncpg

__all__ = ["CommitCutter", "Cut"]


class Cut(Enum):
    """Where the connection breaks."""

    BEFORE_COMMIT = "the server never sees the COMMIT"
    AFTER_COMMIT = "the server commits, and its answer is lost"


class CommitCutter:
    """Forwards connections, and cuts the next one that commits.

    Attributes:
        cut: Where to cut; None for a sound network. It is None again after the cut.
        count: How often it was cut.
        questions_to_cut: How many of those who ask afterwards what became of it are cut off as well.
        statement: What to have the server do, over another connection, while the answer is being lost.
    """

    def __init__(self, url: str) -> None:
        """Stand before the server of a URL."""
        self._url = urlsplit(url)
        self._port = 0
        self.cut: Cut | None = None
        self.count = 0
        self.questions_to_cut = 0
        self.statement = ""

    @property
    def url(self) -> str:
        """The URL by which the same database is reached through here."""
        place = f"{self._url.username}:{self._url.password}@127.0.0.1:{self._port}"
        return self._url._replace(netloc=place).geturl()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[CommitCutter]:
        """Forward for the time of a block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._url.hostname, self._url.port)
        answers = asyncio.ensure_future(self._pump(server, to_client))
        try:
            while data := await client.read(65536):
                if self.cut is not None and b"COMMIT" in data:
                    answers.cancel()
                    await asyncio.wait([answers])
                    await self._break(data, server, to_server)
                    return
                if self.questions_to_cut and b"pg_xact_status" in data:
                    self.questions_to_cut -= 1
                    return
                to_server.write(data)
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            for writer in (to_client, to_server):
                writer.close()

    async def _break(self, data: bytes, server: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        cut, self.cut = self.cut, None
        self.count += 1
        if cut is Cut.AFTER_COMMIT:
            to_server.write(data)
            await server.read(65536)
        if self.statement:
            connection = await asyncpg.connect(self._url.geturl())
            await connection.execute(self.statement)
            await connection.close()

    async def _pump(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await server.read(65536):
                to_client.write(data)
        to_client.close()
