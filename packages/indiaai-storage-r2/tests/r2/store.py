"""What the R2 rule server keeps, and the switches of its rules; imported by its operations and by tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from r2.messages import Refused, Request
from r2.signatures import Token

__all__ = ["OpenUpload", "Store", "StoredObject"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class StoredObject:
    """An object.

    Attributes:
        content: Its bytes.
        headers: Those of the request that made it, names in lower case.
        etag: Without quotes.
        name: The path as it was last spelled, which listings show; empty where a test planted the object.
        modified: When it was written.
    """

    content: bytes
    headers: Mapping[str, str]
    etag: str = ""
    name: str = ""
    modified: datetime = field(default_factory=_now)


@dataclass
class OpenUpload:
    """A multipart upload that was begun."""

    name: str
    headers: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)
    begun: datetime = field(default_factory=_now)


@dataclass
class Store:
    """Buckets in memory.

    Attributes:
        objects: By `/bucket/key`, the key in NFC.
        uploads: By upload id.
        buckets: Their names.
        tokens: Who may ask, by access key id.
        write_interval_seconds: How long after a write to a key the next one is 429; R2's is 1.
        takes_checksums: Whether a plain `x-amz-checksum-…` header is checked, or refused as R2 did.
        says_why: Whether errors have a message.
        ignores_conditions: Whether If-Match of reads is ignored, as lax stores do.
        locked_prefixes: Below these places no object is replaced or deleted.
        clock_offset: How far the server's clock is ahead.
        tells_time: Whether answers have a Date.
    """

    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, OpenUpload] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=lambda: {"bucket"})
    tokens: dict[str, Token] = field(default_factory=dict)
    write_interval_seconds: float = 0
    takes_checksums: bool = False
    says_why: bool = True
    ignores_conditions: bool = False
    locked_prefixes: tuple[str, ...] = ()
    clock_offset: timedelta = timedelta(0)
    tells_time: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: count[int] = field(default_factory=lambda: count(1))
    last_writes: dict[str, float] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the server's time."""
        return _now() + self.clock_offset

    def find(self, place: str) -> StoredObject:
        """Return an object.

        Raises:
            Refused: There is none.
        """
        found = self.objects.get(place)
        if found is None:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        return found

    def may_write(self, request: Request) -> None:
        """Refuse a second write to one key too soon after the first, and any below a lock.

        Raises:
            Refused: 429 or 403.
        """
        if request.place in self.objects and request.place.startswith(self.locked_prefixes):
            raise Refused(403, "ObjectLockedByBucketPolicy", "The object is locked by the bucket policy.")
        last = self.last_writes.get(request.place)
        if last is not None and time.monotonic() - last < self.write_interval_seconds:
            raise Refused(429, "TooManyRequests", "Reduce your concurrent request rate for the same object.")

    def write(self, request: Request, stored: StoredObject) -> None:
        """Put an object in its place."""
        stored.name = request.path
        self.objects[request.place] = stored
        if self.write_interval_seconds:
            self.last_writes[request.place] = time.monotonic()
