"""Cuts what is uploaded into the bodies of requests; imported by uploads.

All bodies of one upload but the last have the same length, as R2 requires of parts.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from functools import cached_property, partial
from typing import BinaryIO, cast

from indiaai_core import InvalidRequest
from indiaai_core.storage import FileData

__all__ = ["Payload", "split"]

_READ_BYTES = 1024 * 1024


class Payload(io.BytesIO):
    """The body of one request. Stopped, a request that is being sent breaks off, and the store drops it."""

    is_stopped = False

    @cached_property
    def md5(self) -> bytes:
        """The MD5 of the bytes; all of them must be there."""
        return hashlib.md5(self.getbuffer(), usedforsecurity=False).digest()

    @property
    def content_md5(self) -> str:
        """The MD5 as the header `Content-MD5` has it, by which the store refuses bytes that were damaged on the way."""
        return base64.b64encode(self.md5).decode()

    def begin(self) -> Payload:
        """Go back to the first byte, for an attempt to send them."""
        self.seek(0)
        return self

    def stop(self) -> None:
        """End a request that is being sent; may be called from any thread."""
        self.is_stopped = True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, as the client sends them."""
        if self.is_stopped:
            raise InterruptedError("the upload was cancelled")
        return super().read(size)


Run = Callable[[Callable[[], Payload]], Awaitable[Payload]]


def split(file_data: FileData, *, size: int, run: Run) -> AsyncGenerator[Payload, None]:
    """Cut the data into payloads of `size` bytes, the last of them shorter; at least one, which may be empty.

    Args:
        file_data: What `StorageService.upload` takes.
        size: The length of a payload in bytes.
        run: Calls a function that blocks in a worker thread.

    Raises:
        InvalidRequest: The data are not bytes.
    """
    if isinstance(file_data, (bytes, bytearray, memoryview)):
        return _split_bytes(file_data, size=size)
    if hasattr(file_data, "read"):
        return _split_file(cast(BinaryIO, file_data), size=size, run=run)
    if isinstance(file_data, AsyncIterable):
        return _split_stream(file_data, size=size)
    raise _not_bytes(file_data)


async def _split_bytes(content: bytes | bytearray | memoryview, *, size: int) -> AsyncGenerator[Payload, None]:
    view = _flat(content)
    for start in range(0, len(view) or 1, size):
        # Bytes are shared with the payload where all of them go into it; anything else is copied.
        is_all = isinstance(content, bytes) and len(view) <= size
        yield Payload(content if is_all else view[start : start + size])


async def _split_file(file: BinaryIO, *, size: int, run: Run) -> AsyncGenerator[Payload, None]:
    payload = await run(partial(_read, file, size=size))
    yield payload
    while payload.tell() == size:
        payload = await run(partial(_read, file, size=size))
        if payload.tell():
            yield payload


def _read(file: BinaryIO, *, size: int) -> Payload:
    payload = Payload()
    while room := size - payload.tell():
        block = file.read(min(room, _READ_BYTES))
        if not isinstance(block, bytes):
            raise _not_bytes(block)
        if not block:
            break
        payload.write(block)
    return payload


async def _split_stream(stream: AsyncIterable[bytes], *, size: int) -> AsyncGenerator[Payload, None]:
    payload, is_first = Payload(), True
    async for chunk in stream:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise _not_bytes(chunk)
        view = _flat(chunk)
        while view:
            taken = payload.write(view[: size - payload.tell()])
            view = view[taken:]
            if payload.tell() == size:
                yield payload
                payload, is_first = Payload(), False
    if payload.tell() or is_first:
        yield payload


def _flat(content: bytes | bytearray | memoryview) -> memoryview:
    view = memoryview(content)
    return view.cast("B") if view.c_contiguous else memoryview(bytes(view))


def _not_bytes(found: object) -> InvalidRequest:
    return InvalidRequest(
        f"file_data gives {type(found).__name__}: expected bytes, a file opened in binary mode, or an async iterable of bytes."
    )
