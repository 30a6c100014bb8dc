"""A long line: passes a TCP connection on, each byte late by half of a round trip. `line.py PORT TARGET_PORT ROUND_TRIP_MS`."""

from __future__ import annotations

import asyncio
import sys

__all__: list[str] = []

PIECE_BYTES = 256 * 1024


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay_seconds: float) -> None:
    """Pass on what comes, each piece when its time has come; reading goes on meanwhile."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)

    async def arrive() -> None:
        while True:
            due, piece = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    async with asyncio.TaskGroup() as group:
        group.create_task(arrive())
        piece = b"-"
        while piece:
            piece = await reader.read(PIECE_BYTES)
            await on_the_way.put((loop.time() + delay_seconds, piece))


async def main(port: int, target_port: int, *, round_trip_ms: float) -> None:
    """Pass on every connection until the process is ended."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port)
        delay = round_trip_ms / 2000
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(reader, far_writer, delay_seconds=delay))
                group.create_task(carry(far_reader, writer, delay_seconds=delay))
        except* OSError:
            pass
        finally:
            writer.close()
            far_writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), round_trip_ms=float(sys.argv[3])))
