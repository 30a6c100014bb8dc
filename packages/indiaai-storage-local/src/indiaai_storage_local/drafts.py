"""An object that is being stored and is not there yet; imported by the service."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import BinaryIO, cast

from indiaai_core.errors import InvalidRequest, ObjectExists
from indiaai_core.storage import FileData
from indiaai_storage_local.files import Digests, Label, ObjectFile, seal, write_all
from indiaai_storage_local.folders import close, sync
from indiaai_storage_local.threads import DiskThreads
from indiaai_storage_local.tree import Tree

__all__ = ["Draft", "chunks_of"]

_CHUNK_BYTES = 1024 * 1024
_SMALL_BYTES = 64 * 1024
"""What is kept to be written together with the trailer, in one system call."""

Buffer = bytes | bytearray | memoryview


class Draft:
    """One upload: a file in `tmp` that becomes the object in one step, or is removed. One thread at a time uses it."""

    def __init__(self, tree: Tree, key: str, label: Label, *, is_new: bool) -> None:
        """Take note of what the object will be; the file is made with the first bytes that are written."""
        self._tree, self._key, self._label, self._is_new = tree, key, label, is_new
        self._path, self._descriptor = "", -1
        self._pending = b""
        self._digests, self._size = Digests(), 0
        self._is_cancelled = False

    def cancel(self) -> None:
        """Make a call that runs in a thread give up before the object is there."""
        self._is_cancelled = True

    def store(self, content: Buffer) -> None:
        """Write all of the object and publish it."""
        self.write(content)
        self.publish()

    def copy(self, source: ObjectFile) -> None:
        """Copy all of another object, compare what is there with its digest, and publish it.

        Raises:
            StorageError: The other object's bytes are not those that were stored.
            OSError: The disk does not take them.
        """
        self._make()
        for start in range(0, source.size, _CHUNK_BYTES):
            if self._is_cancelled:
                return
            size = min(_CHUNK_BYTES, source.size - start)
            self._digests.update(source.copy_to(self._descriptor, start, size=size))
            self._size += size
        source.compare(self._digests.sha256)
        self.publish()

    def write(self, chunk: Buffer) -> None:
        """Append bytes.

        Raises:
            OSError: The disk does not take them.
        """
        if type(chunk) is bytes and len(chunk) <= _SMALL_BYTES:  # most objects are: nothing to cut, and nobody can change it
            self._digests.update(chunk)
            self._append(chunk)
            self._size += len(chunk)
            return
        view = memoryview(chunk)
        rest = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        for start in range(0, len(rest), _CHUNK_BYTES):
            if self._is_cancelled:
                return
            piece = rest[start : start + _CHUNK_BYTES]
            # A bytearray may change between the two lines while its owner does something else: then a copy is stored.
            content = bytes(piece) if len(piece) <= _SMALL_BYTES or not piece.readonly else piece
            self._digests.update(content)
            self._append(content)
        self._size += len(rest)

    def publish(self) -> None:
        """Make the object visible, when all of it is on the disk.

        Raises:
            ObjectExists: It was to be new and is not.
            OSError: The disk does not take it.
        """
        self._make()
        write_all(self._descriptor, self._pending + seal(self._digests, size=self._size, label=self._label))
        if self._tree.fsync and not self._is_cancelled:
            sync(self._descriptor)
        if self._is_cancelled:
            return
        if os.name == "nt":  # an open file cannot be renamed there; elsewhere it stays locked until it has its place
            self._close()
        try:
            self._tree.publish(self._path, key=self._key, is_new=self._is_new)
        except FileExistsError as error:
            raise ObjectExists(self._key) from error
        self._close()
        if self._is_new:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, if it did not become the object, or keeps a name beside it."""
        with suppress(OSError):  # what stays is swept later; the object is there, or the fault that led here is reported
            self._close()
            if self._path:
                self._tree.scratch.discard(self._path)

    def _make(self) -> None:
        if not self._path:
            self._tree.prepare()
            self._path, self._descriptor = self._tree.scratch.create()

    def _append(self, content: bytes | memoryview) -> None:
        self._make()
        if self._pending:
            write_all(self._descriptor, self._pending)
            self._pending = b""
        if isinstance(content, bytes):
            self._pending = content
        else:
            write_all(self._descriptor, content)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and self._tree.fsync:
            close(descriptor)
        elif descriptor >= 0:  # a network file system may say here that the disk is full
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
