"""The bodies of requests: windows of memory or of a file, read piece by piece; imported by sources and uploads."""

from __future__ import annotations

import base64
import hashlib
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from mmap import ACCESS_COPY, mmap
from typing import Any, BinaryIO

from indiaai_core import StorageError

__all__ = ["Buffer", "FilePayload", "MemoryPayload", "Payload", "RegularFile"]

_pread: Any = getattr(os, "pread", None)  # without it, as on Windows, files are streams
_PIECE_BYTES = 256 * 1024
# A digest lets other threads run from 2,048 bytes on, and then waits for its turn: longer than a short body takes.
_STEP_BYTES, _SHORT_BYTES = 2047, 8 * 1024


class Payload(ABC):
    """The body of one request, which may be sent more than once. Stopped, it breaks a request off, and the store drops it.

    Attributes:
        is_last: Whether the source has nothing behind it.
    """

    def __init__(self, size: int, *, is_last: bool = True) -> None:
        """Stand at the first of `size` bytes."""
        self.is_last = is_last
        self._size = size
        self._position = 0
        self._is_stopped = False
        self._digest: bytes | None = None
        self._sha256: bytes | None = None
        self._hash: Any = None
        self._failure: Exception | None = None

    def __len__(self) -> int:
        """Return how many bytes it has."""
        return self._size

    def __bool__(self) -> bool:
        """Say that it is a body, also one without bytes."""
        return True

    @abstractmethod
    def _take(self, start: int, size: int) -> bytes | memoryview:
        """Return bytes that lie in the window, so many or fewer; the ones before may be gone after that."""

    def digests(self) -> tuple[bytes, bytes]:
        """Return MD5 and SHA-256, for the headers that go before the bytes, which are read for what is not known yet."""
        if self._sha256 is None:
            sha256, md5 = hashlib.sha256(), None if self._digest else hashlib.md5(usedforsecurity=False)
            self._read_all(sha256.update, *([md5.update] if md5 else []))
            self._sha256 = sha256.digest()
            self._digest = md5.digest() if md5 else self._digest
        return self._digest or b"", self._sha256

    def sha256(self) -> str:
        """Return the SHA-256 in hex, with which a request is signed that does not go over TLS."""
        return self.digests()[1].hex()

    def content_md5(self) -> str:
        """Return the header `Content-MD5`, by which a store refuses what was damaged on its way; the bytes are read for it."""
        if self._digest is None:
            md5 = hashlib.md5(usedforsecurity=False)
            self._read_all(md5.update)
            self._digest = md5.digest()
        return base64.b64encode(self._digest).decode()

    def md5(self) -> bytes:
        """Return the MD5 that was computed before, or else that of the bytes as they were sent."""
        digest: bytes = self._digest or self._hash.digest()
        return digest

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Begin an attempt to send the bytes. What fails because of the source comes out as that, and not as the client's.

        Raises:
            StorageError: The bytes are not there any more.
        """
        self._failure = None
        self.seek(0)
        try:
            yield
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def stop(self) -> None:
        """End a request that is being sent; may be called from any thread."""
        self._is_stopped = True

    def read(self, size: int | None = -1, /) -> bytes | memoryview:
        """Return the next bytes, to be used before the next call; none at the end."""
        if self._is_stopped:
            raise InterruptedError("the upload was cancelled")
        left = self._size - self._position
        try:
            piece = self._take(self._position, left if size is None or size < 0 else min(size, left))
        except Exception as error:
            self._failure = error
            raise
        self._position += len(piece)
        if self._digest is None:
            self._hash.update(piece)
        return piece

    def seek(self, position: int, whence: int = 0, /) -> int:
        """Go to a byte; the client goes to the first one, and nowhere else."""
        self._position = position if whence == 0 else self._size + position
        self._hash = hashlib.md5(usedforsecurity=False)
        return self._position

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._position

    def _read_all(self, *take: Callable[[bytes | memoryview], object]) -> None:
        step = _STEP_BYTES if self._size <= _SHORT_BYTES else _PIECE_BYTES
        start = 0
        while start < self._size:
            piece = self._take(start, min(step, self._size - start))
            start += len(piece)
            for update in take:
                update(piece)


class MemoryPayload(Payload):
    """A body in memory, which it shares; it may lie there in several places."""

    def __init__(self, *views: memoryview, is_last: bool = True) -> None:
        """Hold the bytes."""
        super().__init__(sum(map(len, views)), is_last=is_last)
        self._views = views or (memoryview(b""),)
        self._starts = [0, *accumulate(map(len, views[:-1]))]

    def _take(self, start: int, size: int) -> memoryview:
        if len(self._views) == 1:
            return self._views[0][start : start + size]
        index = bisect_right(self._starts, start) - 1
        offset = start - self._starts[index]
        return self._views[index][offset : offset + size]


class RegularFile:
    """A file on a disk from where it stands to its end, as it is now; read by position, from any number of threads."""

    def __init__(self, file: BinaryIO) -> None:
        """Take hold of the file. Whatever becomes of `file` then, the descriptor is our own."""
        if file.writable():
            file.flush()
        self._file = file
        self._start = file.tell()
        self._descriptor = os.dup(file.fileno())
        self._state = self._stat()
        self.size = max(self._state[0] - self._start, 0)

    def __del__(self) -> None:
        """Close the descriptor: when nothing can read any more, for its number may soon be another file's."""
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes.

        Raises:
            StorageError: They are not there any more.
        """
        piece: bytes = _pread(self._descriptor, size, self._start + start)
        if len(piece) < size:
            raise self._changed()
        return piece

    def require_unchanged(self) -> None:
        """Compare length and time of the last change with those at the beginning.

        Raises:
            StorageError: They are others.
        """
        if self._stat() != self._state:
            raise self._changed()

    def finish(self) -> None:
        """Leave the file at its end, as reading it would have, unless it was closed meanwhile."""
        with suppress(ValueError):
            self._file.seek(self._start + self.size)

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def _changed(self) -> StorageError:
        name = getattr(self._file, "name", self._descriptor)
        return StorageError(f"The file {name!r} was changed while it was uploaded. Upload it when nobody writes to it.")


class FilePayload(Payload):
    """A body in a file."""

    def __init__(self, file: RegularFile, start: int, *, size: int, is_last: bool) -> None:
        """Hold where in the file it is."""
        super().__init__(size, is_last=is_last)
        self._file = file
        self._start = start

    def seek(self, position: int, whence: int = 0, /) -> int:
        """Go to a byte, if the file is still what it was."""
        self._file.require_unchanged()
        return super().seek(position, whence)

    def _take(self, start: int, size: int) -> bytes:
        return self._file.read(self._start + start, size)


class Buffer:
    """What one body is gathered in. Bytes are kept as they are where nobody can change them, other memory is copied.

    Room for copies comes from the system page by page as it is written to, and goes back at once when dropped.
    """

    def __init__(self, size: int) -> None:
        """Make room for `size` bytes."""
        self.room = size
        self._views: list[memoryview] = []
        self._copies = memoryview(mmap(-1, size, access=ACCESS_COPY))
        self._begin = self._used = 0

    def keep(self, content: memoryview) -> int:
        """Take what there is room for without copying it, and return how many bytes these were."""
        self._end_copies()
        self._views.append(content[: self.room])
        return self._took(len(self._views[-1]))

    def write(self, content: memoryview) -> int:
        """Copy what there is room for, and return how many bytes these were."""
        taken = min(self.room, len(content))
        for start in range(0, taken, _PIECE_BYTES):  # each copy holds the interpreter's lock
            piece = content[start : min(start + _PIECE_BYTES, taken)]
            self._copies[self._used : self._used + len(piece)] = piece
            self._used += len(piece)
        return self._took(taken)

    def payload(self, *, is_last: bool) -> Payload:
        """Return what was gathered as a body."""
        self._end_copies()
        return MemoryPayload(*self._views, is_last=is_last)

    def _end_copies(self) -> None:
        if self._used > self._begin:
            self._views.append(self._copies[self._begin : self._used])
            self._begin = self._used

    def _took(self, size: int) -> int:
        self.room -= size
        return size
