"""Connections to servers: made, under TLS where that is asked for, and let in; imported by the servers and the channel."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis

from indiaai_core.errors import Fault, InvalidSettings
from indiaai_queue_redis.address import Address, Login, Place
from indiaai_queue_redis.trouble import Breakdown, Refusal, Silence, Trouble

__all__ = ["Borrowed", "Wire"]

CODES = {"AuthenticationError": "WRONGPASS", "NoPermissionError": "NOPERM", "BusyLoadingError": "LOADING"}
"""What the server began with where redis-py makes a class of it and drops the word."""


@dataclass
class Wire:
    """One connection that is to be; it is used once, in one event loop."""

    address: Address
    place: Place | None
    """Where to; None: to the address's Unix socket."""
    login: Login = field(repr=False)
    timeout_seconds: float

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and have the server let us in.

        Raises:
            Trouble: The server is not there, or does not let us in.
        """
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reader, writer = await self._open()
        except TimeoutError as error:
            raise Silence(f"Timeout: no connection within {self.timeout_seconds:g} s") from error
        except OSError as error:
            raise Breakdown(f"{error}" or type(error).__name__) from error
        try:
            for answer in await _ask(reader, writer, self._greetings(), self.timeout_seconds):
                if isinstance(answer, Exception):
                    raise answer
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def talk(self, *commands: Sequence[Any]) -> list[Any]:
        """Connect, send commands in one write, and return their replies; refusals are among them as exceptions."""
        reader, writer = await self.connect()
        try:
            return await _ask(reader, writer, commands, self.timeout_seconds)
        finally:
            writer.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.place or ("", 0)
        if sys.platform != "win32" and self.place is None:
            return await asyncio.open_unix_connection(self.address.path)
        context = await asyncio.to_thread(self._context) if self.address.is_tls else None  # it reads all known authorities
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return reader, writer

    def _context(self) -> ssl.SSLContext:
        options = self.address.options
        try:
            context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
            if certificate := options.get("ssl_certfile"):
                context.load_cert_chain(certificate, options.get("ssl_keyfile"))
        except OSError as error:
            found = f"a file that its options name cannot be used ({error})"
            expected = "certificates and keys in PEM, which this process may read"
            raise InvalidSettings([Fault("REDIS_URL", found, expected)]) from error
        return context

    def _greetings(self) -> list[Sequence[Any]]:
        user, password, database = self.login
        greetings: list[Sequence[Any]] = []
        if password:
            greetings.append(("AUTH", user, password) if user else ("AUTH", password))
        return [*greetings, ("SELECT", database)] if database else greetings


class Borrowed(Wire):
    """A connection that redis-py makes, for addresses with options that it alone knows."""

    def __init__(self, connection: Any, timeout_seconds: float) -> None:
        """Hold one of redis-py's asyncio connections, for RESP 2, that is not connected yet."""
        self._connection, self.timeout_seconds = connection, timeout_seconds

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Have redis-py connect, and take the streams over; it shows them to nobody, and reads no more from them."""
        from redis.exceptions import RedisError

        connection = self._connection
        try:
            await connection.connect()
        except RedisError as error:
            raise _said(error) from error
        except BaseException:
            await connection.disconnect(nowait=True)  # which redis-py leaves out where it is cancelled
            raise
        streams = connection._reader, connection._writer
        connection._reader = connection._writer = None
        return streams


def _said(error: Exception) -> Trouble:
    """Return what redis-py said, in the server's words."""
    from redis.exceptions import ResponseError
    from redis.exceptions import TimeoutError as Silent

    code = next((CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in CODES), "")
    if code or isinstance(error, ResponseError):
        return Refusal(f"{code} {error}".strip())
    return (Silence if isinstance(error, Silent) else Breakdown)(f"{error}")


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Sequence[Sequence[Any]], seconds: float
) -> list[Any]:
    parser, replies = hiredis.Reader(replyError=Refusal), list[Any]([])
    try:
        async with asyncio.timeout(seconds):
            writer.write(b"".join(hiredis.pack_command(tuple(command)) for command in commands))
            while len(replies) < len(commands):
                data = await reader.read(65_536)
                if not data:
                    raise Breakdown("the connection was lost (closed by the server)")
                parser.feed(data)
                while (reply := parser.gets()) is not False:
                    replies.append(reply)
    except TimeoutError as error:
        raise Silence(f"Timeout: no answer within {seconds:g} s") from error
    except (OSError, hiredis.HiredisError) as error:
        raise Breakdown(f"the connection was lost ({error})") from error
    return replies
