"""What is uploaded, read whole; imported by backends that store an object in one piece."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import BinaryIO, cast

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage.service import FileData

__all__ = ["read_all"]


async def read_all(file_data: FileData) -> bytes:
    """Return all the bytes of what `upload` was given.

    It holds the whole object in memory: it is for stores of small objects, and for the first day of a plugin. A file is
    read in a thread, so that a slow disk holds up nobody else.

    Args:
        file_data: Bytes, a binary file object or an asynchronous iterable of bytes.

    Raises:
        InvalidRequest: It is none of these, or gives something other than bytes.
        Exception: Whatever the file or the iterable raises, as it is.
    """
    if isinstance(file_data, AsyncIterable):
        return b"".join([_bytes_of(chunk) async for chunk in file_data])
    if hasattr(file_data, "read"):
        from anyio import to_thread  # here, for no import of the core loads an event loop

        return _bytes_of(await to_thread.run_sync(cast(BinaryIO, file_data).read))
    return _bytes_of(file_data)


def _bytes_of(given: object) -> bytes:
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    raise InvalidRequest(
        f"file_data gives {type(given).__name__}: expected bytes, a file opened in binary mode, or an async iterable of bytes."
    )
