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
from datetime import UTC, datetime

from indiaai_core.errors import StorageError
from indiaai_core.storage import ObjectInfo

__all__ = ["ObjectFile", "seal"]

_MAGIC = b"indiaai\x01"
_FOOTER = struct.Struct(">8sII")
_TAIL_BYTES = 4096
"""What is read from the end at first; the longest trailer (2 KiB of escaped metadata) may need a second read."""


def seal(digest: str, *, size: int, content_type: str, metadata: Mapping[str, str]) -> bytes:
    """Return what follows the payload in the file."""
    trailer = json.dumps(
        {
            "content_type": content_type,
            "etag": digest,
            "size": size,
            "last_modified": datetime.now(UTC).isoformat(),
            "metadata": dict(metadata),
        }
    ).encode("ascii")
    return trailer + _FOOTER.pack(_MAGIC, len(trailer), zlib.crc32(trailer))


class ObjectFile:
    """An object's file, open for reading: one version of the object, also if it is replaced meanwhile.

    Whoever opens it closes it; one thread at a time uses it.

    Attributes:
        info: What is known about the object.
    """

    def __init__(self, descriptor: int, key: str) -> None:
        """Read what is known about the object; the descriptor is closed here if that fails.

        Raises:
            StorageError: The file is not a whole object.
        """
        self._descriptor = descriptor
        try:
            self.info = self._read_info(key)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, start: int, size: int) -> bytes:
        """Read exactly these bytes of the payload.

        Raises:
            StorageError: The file was cut meanwhile.
        """
        content = self._read_at(start, size)
        if len(content) != size:
            raise _corrupt(self.info.key, "it was cut while it was read")
        return content

    def read_all(self) -> bytes:
        """Read the whole payload and compare it with the digest it was stored with.

        Raises:
            StorageError: It is not what was stored.
        """
        content = self.read(0, self.info.size)
        if hashlib.sha256(content).hexdigest() != self.info.etag:
            raise _corrupt(self.info.key, "its bytes are not those that were stored")
        return content

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_info(self, key: str) -> ObjectInfo:
        total = os.fstat(self._descriptor).st_size
        tail = self._read_at(max(0, total - _TAIL_BYTES), _TAIL_BYTES)
        if len(tail) < _FOOTER.size:
            raise _corrupt(key, "it has no footer")
        magic, length, checksum = _FOOTER.unpack(tail[-_FOOTER.size :])
        size = total - _FOOTER.size - length
        if magic != _MAGIC or size < 0:
            raise _corrupt(key, "it has no footer")
        trailer = tail[-_FOOTER.size - length : -_FOOTER.size]
        if len(trailer) < length:
            trailer = self._read_at(size, length)
        if zlib.crc32(trailer) != checksum:
            raise _corrupt(key, "its trailer is damaged")
        return _parse(key, trailer, size)

    def _read_at(self, start: int, size: int) -> bytes:
        os.lseek(self._descriptor, start, os.SEEK_SET)
        content = os.read(self._descriptor, size)
        if len(content) in (0, size):
            return content
        pieces = [content]  # a system may give less than was asked for: Linux at most 2 GiB at once
        while (missing := size - sum(map(len, pieces))) and (piece := os.read(self._descriptor, missing)):
            pieces.append(piece)
        return b"".join(pieces)


def _parse(key: str, trailer: bytes, size: int) -> ObjectInfo:
    known = json.loads(trailer)
    if known["size"] != size:
        raise _corrupt(key, f"it has {size} bytes and was stored with {known['size']}")
    return ObjectInfo(
        key=key,
        size=size,
        content_type=known["content_type"],
        etag=known["etag"],
        last_modified=datetime.fromisoformat(known["last_modified"]),
        metadata=known["metadata"],
    )


def _corrupt(key: str, reason: str) -> StorageError:
    return StorageError(f"The file of the object {key!r} is corrupt: {reason}. Restore it, upload it again or delete it.")
