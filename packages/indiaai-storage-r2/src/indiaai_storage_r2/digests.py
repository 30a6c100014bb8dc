"""The digests by which bytes are known to be the ones that were stored; imported by uploads and downloads.

An ETag of R2 is the MD5 of what one request brought, or the MD5 of the parts' MD5s with their number behind it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from indiaai_core import BackendUnavailable
from indiaai_storage_r2.metadata import PART_SIZE, SHA256

__all__ = ["Digest", "PartsDigest", "combine", "expected_digest", "part_md5", "require_etag"]

_MD5 = re.compile(r"[0-9a-f]{32}")
_ETAG = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class Digest(Protocol):
    """What `hashlib` and this module have in common."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far, as text."""
        raise NotImplementedError


class PartsDigest:
    """The ETag of an object that was sent in parts of one length."""

    def __init__(self, part_size: int) -> None:
        """Begin with no bytes.

        Args:
            part_size: The length in bytes of every part but the last.
        """
        self._part_size = part_size
        self._digests: list[bytes] = []
        self._part: Any = None
        self._room = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""
        view = memoryview(data)
        while view:
            if not self._room:
                self._end_part()
                self._part, self._room = hashlib.md5(usedforsecurity=False), self._part_size
            self._part.update(view[: self._room])
            taken = min(self._room, len(view))
            self._room -= taken
            view = view[taken:]

    def hexdigest(self) -> str:
        """Return the ETag; no bytes can be taken after it."""
        self._end_part()
        return combine(self._digests)

    def _end_part(self) -> None:
        if self._part is not None:
            self._digests.append(self._part.digest())
            self._part = None


def combine(digests: Sequence[bytes]) -> str:
    """Return the ETag of an object whose parts have these MD5s; an empty text where one of them is not known."""
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}" if all(digests) else ""


def part_md5(etag: str) -> bytes:
    """Return the MD5 that a part's ETag is; none where it has another form."""
    return bytes.fromhex(etag.strip('"')) if _MD5.fullmatch(etag.strip('"')) else b""


def require_etag(answered: str, *, expected: str) -> None:
    """Compare the ETag that the store answers with the one that the bytes have.

    One of another form, or an empty one, is let pass: it is some other store's, and says nothing about the bytes.

    Raises:
        BackendUnavailable: The store has other bytes than were sent, or its answer was cut within the ETag.
    """
    if answered.startswith('"') and (len(answered) == 1 or not answered.endswith('"')):
        raise BackendUnavailable("The store's answer was cut. Upload the object again.")
    etag = answered.strip('"')
    if _ETAG.fullmatch(etag) and ("-" in etag) == ("-" in expected) and etag != expected:
        raise BackendUnavailable("The store has stored other bytes than were sent. Upload the object again.")


def expected_digest(etag: str, metadata: Mapping[str, str]) -> tuple[Digest, str] | None:
    """Return the digest to compute over a whole object and what it must be; None where another tool stored it.

    Args:
        etag: The object's ETag, without quotes.
        metadata: Its metadata as the store answers it.
    """
    if SHA256 in metadata:
        return hashlib.sha256(), metadata[SHA256]
    part_size = metadata.get(PART_SIZE, "")
    if part_size.isdecimal() and int(part_size) and "-" in etag and _ETAG.fullmatch(etag):
        return PartsDigest(int(part_size)), etag
    return None
