"""The file that one object is: its bytes, then what is known about it, then a mark; imported by the tree and the service.

    payload | trailer (JSON) | footer: 8 bytes of magic, length and CRC-32 of the trailer as two big-endian 32-bit numbers

Everything about an object is published by the one rename of this one file, so bytes and content type cannot disagree.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import xxhash

from indiaai_core.errors import StorageError
from indiaai_core.storage import ObjectInfo
from indiaai_storage_local.folders import close

__all__ = ["Digests", "Label", "ObjectFile", "Reading", "corrupt", "seal", "write_all"]

_MAGIC = b"indiaai\x01"
_FOOTER = struct.Struct(">8sII")
_quoted = json.encoder.encode_basestring_ascii
_STEP_BYTES = 2047
_TAIL_BYTES = 4096
"""What is read from the end at first; the longest trailer (2 KiB of escaped metadata) may need a second read."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a user says of an object: see `StorageService.upload`."""

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_control: str = ""
    content_disposition: str = ""


class Digests:
    """The two digests of a payload: SHA-256, which tells versions apart, and XXH3, which tells damage as fast as memory is."""

    def __init__(self) -> None:
        """Begin with no bytes."""
        self._sha256, self._xxh3 = hashlib.sha256(), xxhash.xxh3_128()

    def update(self, piece: bytes | memoryview) -> None:
        """Take more bytes."""
        self._xxh3.update(piece)
        # From 2,048 bytes on it lets other threads run, and waits for its turn again: longer than a short one takes.
        step = _STEP_BYTES if len(piece) <= 4 * _STEP_BYTES else len(piece)
        for start in range(0, len(piece), step):
            self._sha256.update(piece[start : start + step])

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def xxh3(self) -> str:
        """Their XXH3, of 128 bits, in hexadecimal."""
        return self._xxh3.hexdigest()


def seal(digests: Digests, *, size: int, label: Label) -> bytes:
    """Return what follows the payload in the file."""
    metadata = json.dumps(dict(label.metadata)) if label.metadata else "{}"
    more = "".join(
        f', "{name}": {_quoted(value)}'
        for name, value in (("cache_control", label.cache_control), ("content_disposition", label.content_disposition))
        if value
    )
    # What `json.dumps` makes of all this together, at a third of the time.
    trailer = (
        f'{{"content_type": {_quoted(label.content_type)}, "etag": "{digests.sha256}", "xxh3_128": "{digests.xxh3}", '
        f'"size": {size}, "last_modified": "{datetime.now(UTC).isoformat()}", "metadata": {metadata}{more}}}'
    ).encode("ascii")
    return trailer + _FOOTER.pack(_MAGIC, len(trailer), zlib.crc32(trailer))


class ObjectFile:
    """One version of an object, for reading, also if it is replaced meanwhile.

    Whoever opens it closes it; one thread at a time uses it.

    Attributes:
        key: The object's key.
        size: How many bytes the payload has.
        content: The whole payload, compared with its digest, where it was read at once; else None.
    """

    def __init__(self, key: str, trailer: bytes, *, size: int, descriptor: int = -1, content: bytes | None = None) -> None:
        """Take what was read; others call `open` or `find`."""
        self.key, self.size, self.content = key, size, content
        self._trailer, self._descriptor = trailer, descriptor
        self._info: ObjectInfo | None = None

    @classmethod
    def open(cls, descriptor: int, key: str) -> ObjectFile:
        """Read what is known about the object; the descriptor is closed here if that fails.

        Raises:
            StorageError: The file is not a whole object.
        """
        try:
            total = os.fstat(descriptor).st_size
            start = max(0, total - _TAIL_BYTES)
            tail = _read_at(descriptor, start, _TAIL_BYTES)
            if len(tail) < _FOOTER.size:
                raise corrupt(key, "it has no footer")
            magic, length, checksum = _FOOTER.unpack_from(tail, len(tail) - _FOOTER.size)
            if magic != _MAGIC or (size := total - _FOOTER.size - length) < 0:
                raise corrupt(key, "it has no footer")
            if size < start:
                tail = _read_at(descriptor, size, total - size)
            trailer = tail[-_FOOTER.size - length : -_FOOTER.size]
            if zlib.crc32(trailer) != checksum:
                raise corrupt(key, "its trailer is damaged")
            file = cls(key, trailer, size=size, descriptor=descriptor)
            file.require_size()
            return file
        except BaseException:
            close(descriptor)
            raise

    @classmethod
    def find(cls, whole: bytearray, key: str) -> ObjectFile | None:
        """Return an object whose file is in memory, compared with its digest; None if it is not what was stored."""
        if len(whole) < _FOOTER.size:
            return None
        magic, length, checksum = _FOOTER.unpack_from(whole, len(whole) - _FOOTER.size)
        size = len(whole) - _FOOTER.size - length
        if magic != _MAGIC or size < 0:
            return None
        trailer, content = bytes(whole[size : -_FOOTER.size]), bytes(whole[:size])
        # Reading the JSON would take longer than all the rest. No text in it can look like this: its quotes are escaped.
        said = f'"xxh3_128": "{xxhash.xxh3_128_hexdigest(content)}", "size": {size},'.encode()
        if said not in trailer or zlib.crc32(trailer) != checksum:
            return None
        return cls(key, trailer, size=size, content=content)

    @cached_property
    def _known(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self._trailer)
        return known

    @property
    def info(self) -> ObjectInfo:
        """What is known about the object."""
        if self._info is None:
            known = self._known
            self._info = ObjectInfo(
                key=self.key,
                size=known["size"],
                content_type=known["content_type"],
                etag=known["etag"],
                last_modified=datetime.fromisoformat(known["last_modified"]),
                metadata=known["metadata"],
                cache_control=known.get("cache_control", ""),
                content_disposition=known.get("content_disposition", ""),
            )
        return self._info

    @property
    def label(self) -> Label:
        """What the user said of the object."""
        info = self.info
        return Label(info.content_type, info.metadata, info.cache_control, info.content_disposition)

    def read(self, start: int, size: int) -> bytes:
        """Read exactly these bytes of the payload.

        Raises:
            StorageError: The file was cut meanwhile.
        """
        if self.content is not None:
            return self.content[start : start + size]
        content = _read_at(self._descriptor, start, size)
        if len(content) != size:
            raise corrupt(self.key, "it was cut while it was read")
        return content

    def read_all(self) -> bytes:
        """Read the whole payload and compare it with the digest it was stored with.

        Raises:
            StorageError: It is not what was stored.
        """
        content = self.read(0, self.size)
        digest = self.new_digest()
        digest.update(content)
        self.compare(digest.hexdigest())
        return content

    def new_digest(self) -> Any:
        """Return the quickest digest that the payload can be compared by, as `hashlib` makes them, of no bytes yet."""
        return xxhash.xxh3_128() if "xxh3_128" in self._known else hashlib.sha256()

    def compare(self, digest: str) -> None:
        """Compare a digest of the payload with that it was stored with.

        Raises:
            StorageError: It is another one.
        """
        if digest not in (self._known["etag"], self._known.get("xxh3_128")):
            raise corrupt(self.key, "its bytes are not those that were stored")

    def require_size(self) -> None:
        """Compare the file's length with what is known of the object.

        Raises:
            StorageError: It is another one, or nothing is known.
        """
        try:
            found = self.info.size
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise corrupt(self.key, "its trailer is not an object's") from error
        if found != self.size:
            raise corrupt(self.key, f"it has {self.size} bytes and was stored with {found}")

    def copy_to(self, target: int, start: int, *, size: int) -> bytes:
        """Write a piece of the payload to the end of another file, and return what is there now.

        The file system copies it, and shares the blocks where it can.

        Args:
            target: The other file's descriptor; everything before `start` is written.
            start: Where the piece begins, in both files.
            size: How many bytes it has.
        """
        done = 0
        if self.content is None and hasattr(os, "copy_file_range"):
            with suppress(OSError):  # between file systems of different kinds, or a disk that is full: the write will tell
                while done < size and (copied := os.copy_file_range(self._descriptor, target, size - done, start + done)):
                    done += copied
        write_all(target, self.read(start + done, size - done))
        return _read_at(target, start, size)

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        if self._descriptor >= 0:
            close(self._descriptor)
            self._descriptor = -1


class Reading:
    """A part of an object that is read piece by piece, one call at a time."""

    def __init__(self, file: ObjectFile, *, start: int, stop: int, chunk_size: int) -> None:
        """Begin at `start`.

        Args:
            file: The object; it must have the bytes `[start, stop)`.
            start: The first byte to read.
            stop: The first byte not to read.
            chunk_size: How many bytes a piece has, but for the last. It is given only if the bytes are those that were
                stored, where they are all that the object has.
        """
        self._file, self._position, self._stop, self._chunk_size = file, start, stop, chunk_size
        is_whole = file.content is None and (start, stop) == (0, file.size)
        self._digest = file.new_digest() if is_whole else None

    @property
    def has_more(self) -> bool:
        """Whether there is another piece."""
        return self._position < self._stop

    def next_piece(self) -> bytes:
        """Return the next piece.

        Raises:
            StorageError: The bytes are not those that were stored, or were cut meanwhile.
        """
        piece = self._file.read(self._position, min(self._chunk_size, self._stop - self._position))
        self._position += len(piece)
        if self._digest:
            self._digest.update(piece)
            if not self.has_more:
                self._file.compare(self._digest.hexdigest())
        return piece


def corrupt(key: str, reason: str) -> StorageError:
    """Return the error that names an object whose file is damaged."""
    return StorageError(f"The file of the object {key!r} is corrupt: {reason}. Restore it, upload it again or delete it.")


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of the bytes where a file stands.

    Raises:
        OSError: The disk does not take them.
    """
    rest = memoryview(content)
    # A system call may take a part only and say so: a full disk does before it says that it is full.
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read_at(descriptor: int, start: int, size: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    content = os.read(descriptor, size)
    if len(content) in (0, size):
        return content
    pieces = [content]  # a system may give less than was asked for: Linux at most 2 GiB at once
    while (missing := size - sum(map(len, pieces))) and (piece := os.read(descriptor, missing)):
        pieces.append(piece)
    return b"".join(pieces)
