"""Cuts what is uploaded into parts, in bounded memory; imported by the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import BinaryIO

import anyio.to_thread

from indiaai_core import InvalidRequest
from indiaai_core.storage import FileData

__all__ = ["cut"]

_READ_BYTES = 1024 * 1024


async def cut(file_data: FileData, *, size: int) -> AsyncGenerator[bytearray]:
    """Give the data in parts of `size` bytes, the last of them shorter; at least one, which may be empty.

    Two parts are in memory at most, and what the source itself gives at once.

    Args:
        file_data: What `StorageService.upload` takes.
        size: The length of a part in bytes.

    Raises:
        InvalidRequest: The data are not bytes.
    """
    part = bytearray()
    async for chunk in _chunks(file_data, size):
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise _not_bytes(chunk)
        view = memoryview(bytes(chunk))
        while len(view) > size - len(part):  # not >=: the last part is never empty, unless it is the only one
            room = size - len(part)
            part += view[:room]
            yield part
            part, view = bytearray(), view[room:]
        part += view
    yield part


def _chunks(file_data: FileData, size: int) -> AsyncIterator[bytes]:
    if isinstance(file_data, bytes | bytearray | memoryview):
        return _slices(bytes(file_data), size)
    if isinstance(file_data, AsyncIterable):
        return aiter(file_data)
    if hasattr(file_data, "read"):
        return _blocks(file_data)
    raise _not_bytes(file_data)


async def _slices(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := await anyio.to_thread.run_sync(file.read, _READ_BYTES):
        yield block


def _not_bytes(found: object) -> InvalidRequest:
    kind = type(found).__name__
    return InvalidRequest(f"file_data gives {kind}: expected bytes, a file opened in binary mode, or an async iterable.")
