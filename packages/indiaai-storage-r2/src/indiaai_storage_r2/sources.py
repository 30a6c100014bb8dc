"""Cuts what `upload` takes into the bodies of requests; imported by uploads.

All bodies of one upload but the last have the same length, as R2 requires of parts.
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Protocol, TypeVar, cast

import anyio

from indiaai_core import InvalidRequest
from indiaai_core.storage import FileData
from indiaai_storage_r2.payloads import Buffer, FilePayload, MemoryPayload, Payload, RegularFile

__all__ = ["MAX_PARTS", "Source", "large_enough", "one_payload", "open_source"]

T = TypeVar("T")

MAX_PARTS = 10_000
"""The most parts that an object may have on R2."""

_MIB = 1024 * 1024
_READ_BYTES = _MIB
_INLINE_BYTES = 64 * 1024
_TURN_BYTES = 512 * 1024
_KEPT_BYTES = 32 * 1024  # of smaller ones, a part would have too many


class _Run(Protocol):
    """Calls a function that blocks in a worker thread."""

    async def __call__(self, function: Callable[[], T], /) -> T:
        """Return what the function returns."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Source:
    """What is uploaded, cut.

    Attributes:
        payloads: The bodies, one after the other; at least one, which may be empty. A body is made when it is asked for.
        part_size: The length in bytes of every body but the last.
        file: The file they are windows of, if they are.
    """

    payloads: AsyncGenerator[Payload, None]
    part_size: int
    file: RegularFile | None = None


def one_payload(file_data: FileData, *, part_size: int) -> Payload | None:
    """Return the body of bytes that fit into one request; None for all else, which `open_source` cuts."""
    if not isinstance(file_data, (bytes, bytearray, memoryview)):
        return None
    view = _flat(file_data)
    return MemoryPayload(view) if len(view) <= part_size else None


async def open_source(file_data: FileData, *, part_size: int, run: _Run) -> Source:
    """Look at what is to be uploaded.

    Args:
        file_data: What `StorageService.upload` takes.
        part_size: The length of a part in bytes; more where the length is known and would make too many parts.
        run: Calls a function in one of the service's threads.

    Raises:
        InvalidRequest: The data are not bytes.
    """
    if isinstance(file_data, (bytes, bytearray, memoryview)):
        return _in_memory(_flat(file_data), part_size)
    if hasattr(file_data, "read"):
        return await _open_file(cast(BinaryIO, file_data), part_size)
    if isinstance(file_data, AsyncIterable):
        return Source(_cut_stream(file_data, size=part_size, run=run), part_size)
    raise _not_bytes(file_data)


def _in_memory(view: memoryview, part_size: int) -> Source:
    def window(start: int, *, size: int, is_last: bool) -> Payload:
        return MemoryPayload(view[start : start + size], is_last=is_last)

    size = large_enough(part_size, total=len(view))
    return Source(_windows(window, total=len(view), size=size), size)


async def _open_file(file: BinaryIO, part_size: int) -> Source:
    # Whoever reads a pipe may wait for ever: not in the few threads that the service has for its requests.
    run = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
    regular = await run(_find_regular_file, file)
    if regular is None:
        return Source(_cut_file(_FileReader(file), size=part_size, run=run), part_size)
    size = large_enough(part_size, total=regular.size)
    return Source(_windows(partial(FilePayload, regular), total=regular.size, size=size), size, regular)


def large_enough(part_size: int, *, total: int) -> int:
    """Return a length of parts, at least `part_size`, of which an object of `total` bytes does not have too many."""
    least = -(-total // MAX_PARTS)
    return max(part_size, -(-least // _MIB) * _MIB)


async def _windows(window: Callable[..., Payload], *, total: int, size: int) -> AsyncGenerator[Payload, None]:
    for start in range(0, total or 1, size):
        length = min(size, total - start)
        yield window(start, size=length, is_last=start + length == total)


def _find_regular_file(file: BinaryIO) -> RegularFile | None:
    # Only Python's own files: many a wrapper has the `fileno` of a file whose bytes are others, as a gzip file does.
    found: Any = file
    if type(file).__module__ == "tempfile":
        found = getattr(file, "_file", None) or getattr(file, "file", None)
    raw = found if type(found) is io.FileIO else getattr(found, "raw", None)
    if type(found) not in (io.FileIO, io.BufferedReader, io.BufferedRandom) or type(raw) is not io.FileIO:
        return None
    if not hasattr(os, "pread") or not found.readable() or not stat.S_ISREG(os.fstat(found.fileno()).st_mode):
        return None
    regular = RegularFile(found)
    return regular if regular.size else None  # those of the kernel say that they are empty


class _FileReader:
    """Reads a file object whose length nobody knows."""

    def __init__(self, file: BinaryIO) -> None:
        """Hold the file."""
        self._file = file
        self._block = memoryview(b"")

    def fill(self, size: int) -> Payload:
        """Return a body of `size` bytes, or the last one; whether it is, one block more tells."""
        buffer = Buffer(size)
        while True:
            if not self._block:
                self._block = self._read()
            if not self._block or not buffer.room:
                return buffer.payload(is_last=not self._block)
            self._block = self._block[buffer.write(self._block) :]

    def _read(self) -> memoryview:
        block = self._file.read(_READ_BYTES)
        if not isinstance(block, bytes):
            raise _not_bytes(block)
        return memoryview(block)


async def _cut_file(reader: _FileReader, *, size: int, run: _Run) -> AsyncGenerator[Payload, None]:
    is_last = False
    while not is_last:
        payload = await run(partial(reader.fill, size))
        is_last = payload.is_last
        yield payload
        del payload  # the next one is made where nobody holds this


async def _cut_stream(stream: AsyncIterable[bytes], *, size: int, run: _Run) -> AsyncGenerator[Payload, None]:
    buffer, taken = Buffer(size), 0
    async for chunk in stream:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise _not_bytes(chunk)
        view, is_lasting = _flat(chunk), isinstance(chunk, bytes)
        if (taken := taken + len(view)) >= _TURN_BYTES:  # a source that never waits would keep the event loop for a whole part
            taken = await asyncio.sleep(0, 0)
        while view:
            if not buffer.room:
                yield buffer.payload(is_last=False)
                buffer = Buffer(size)
            if is_lasting and len(view) >= _KEPT_BYTES:
                view = view[buffer.keep(view) :]
                continue
            write = partial(buffer.write, view)
            # Copying more than this on the event loop would hold it up for longer than the way to a thread takes.
            view = view[write() if len(view) <= _INLINE_BYTES else await run(write) :]
    yield buffer.payload(is_last=True)


def _flat(content: bytes | bytearray | memoryview) -> memoryview:
    view = memoryview(content)
    return view.cast("B") if view.c_contiguous else memoryview(bytes(view))


def _not_bytes(found: object) -> InvalidRequest:
    return InvalidRequest(
        f"file_data gives {type(found).__name__}: expected bytes, a file opened in binary mode, or an async iterable of bytes."
    )
