"""An object that is being stored and is not there yet; imported by the service."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from typing import BinaryIO, cast

from indiaai_core.errors import InvalidRequest, ObjectExists
from indiaai_core.storage import FileData
from indiaai_storage_local.files import seal
from indiaai_storage_local.threads import DiskThreads
from indiaai_storage_local.tree import Tree

__all__ = ["Draft", "chunks_of"]

_CHUNK_BYTES = 1024 * 1024

Buffer = bytes | bytearray | memoryview


class Draft:
    """One upload: a file in `tmp` that becomes the object in one step, or is removed. One thread at a time uses it."""

    def __init__(self, tree: Tree, key: str, content_type: str, *, metadata: Mapping[str, str], is_new: bool) -> None:
        """Take note of what the object will be; the file is made with the first byte."""
        self._tree, self._key, self._is_new = tree, key, is_new
        self._content_type, self._metadata = content_type, metadata
        self._name, self._descriptor = "", -1
        self._digest, self._size = hashlib.sha256(), 0
        self._is_cancelled = False

    def cancel(self) -> None:
        """Make a call that runs in a thread give up before the object is there."""
        self._is_cancelled = True

    def store(self, content: Buffer) -> None:
        """Write all of the object and publish it."""
        self.write(content)
        self.publish()

    def write(self, chunk: Buffer) -> None:
        """Append bytes.

        Raises:
            OSError: The disk does not take them.
        """
        if not self._name:
            self._name, self._descriptor = self._tree.create()
        view = memoryview(chunk)
        rest = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        for start in range(0, len(rest), _CHUNK_BYTES):
            if self._is_cancelled:
                return
            piece = rest[start : start + _CHUNK_BYTES]
            # A bytearray may change between the two lines while its owner does something else: then a copy is stored.
            piece = piece if piece.readonly else memoryview(bytes(piece))
            self._digest.update(piece)
            self._write(piece)
        self._size += len(rest)

    def publish(self) -> None:
        """Make the object visible, when all of it is on the disk.

        Raises:
            ObjectExists: It was to be new and is not.
            OSError: The disk does not take it.
        """
        self.write(b"")
        digest = self._digest.hexdigest()
        self._write(memoryview(seal(digest, size=self._size, content_type=self._content_type, metadata=self._metadata)))
        if self._tree.fsync and not self._is_cancelled:
            os.fsync(self._descriptor)
        if self._is_cancelled:
            return
        if os.name == "nt":  # an open file cannot be renamed there; elsewhere it stays locked until it has its place
            self._close()
        try:
            self._tree.publish(self._name, key=self._key, is_new=self._is_new)
        except FileExistsError as error:
            raise ObjectExists(self._key) from error
        self._close()
        if self._is_new:
            self._tree.discard(self._name)

    def discard(self) -> None:
        """Remove what was written, if it did not become the object."""
        self._close()
        with suppress(OSError):  # what stays is swept later; the fault that led here is the one to report
            if self._name:
                self._tree.discard(self._name)

    def _write(self, rest: memoryview) -> None:
        # A system call may take a part only and say so: a full disk does before it says that it is full.
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


async def chunks_of(file_data: FileData, threads: DiskThreads) -> AsyncIterator[Buffer]:
    """Yield the bytes of a file object or an asynchronous iterable in pieces worth a thread's while.

    Raises:
        InvalidRequest: It is neither, or gives something other than bytes.
    """
    if isinstance(file_data, AsyncIterable):
        pending = bytearray()
        async for chunk in file_data:
            if memoryview(_require_bytes(chunk)).nbytes < _CHUNK_BYTES - len(pending):
                pending += chunk
                continue
            yield pending  # and a long chunk as it is: to copy it here would hold up the event loop
            yield chunk
            pending = bytearray()
        yield pending
    elif hasattr(file_data, "read"):
        file = cast(BinaryIO, file_data)
        while piece := _require_bytes(await threads.run(file.read, _CHUNK_BYTES)):
            yield piece
    else:
        _require_bytes(file_data)


def _require_bytes(chunk: object) -> Buffer:
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise InvalidRequest(
            f"file_data gave {type(chunk).__name__}: expected bytes, a binary file object or an asynchronous iterable of bytes."
        )
    return chunk
