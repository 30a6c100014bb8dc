"""Reads one version of one object through cuts and errors; imported by the service."""

from __future__ import annotations

import io
import re
import threading
from functools import partial
from typing import Any

from indiaai_core import BackendUnavailable, ObjectNotFound
from indiaai_storage_r2.client import Connection
from indiaai_storage_r2.digests import expected_digest
from indiaai_storage_r2.errors import RequestRefused

__all__ = ["DamagedObject", "Reader"]


_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes ([0-9]{1,18}-[0-9]{1,18})/([0-9]{1,18}|\*)")


class DamagedObject(BackendUnavailable):
    """The bytes that arrived are not those that were stored."""


class Reader:
    """Reads the bytes `[start, end)` of an object, all of them from the version that the first answer was about.

    A whole object is compared with the digest stored with it before its last block is given out. Used by one task.
    """

    def __init__(self, connection: Connection, key: str, *, start: int = 0, end: int | None = None) -> None:
        """Hold what to read; nothing is asked for yet."""
        self._connection = connection
        self._key = key
        self._position = start
        self._end = end
        self._is_whole = start == 0 and end is None
        self._length: int | None = None
        self._etag = ""
        self._check: Any = None
        self._body: Any = None
        self._room = memoryview(b"")
        self._is_damaged = False
        self._is_closed = False
        # A cancelled read goes on in its thread: whoever closes the body waits for it, and not on the event loop.
        self._lock = threading.Lock()

    async def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, at most so many; none at the end. Raises what `read_into` raises."""
        block = io.BytesIO()
        await self.read_into(block, max_bytes)
        return block.getvalue()

    async def read_into(self, sink: io.BytesIO, max_bytes: int) -> bool:
        """Write the next bytes, at most so many; return False at the end.

        Raises:
            ObjectNotFound: There is no object; raised by the first read only.
            DamagedObject: The bytes are not those that were stored.
            BackendUnavailable: The store does not answer, or the object was replaced while it was read.
        """
        if self._position == self._length:
            return False
        try:
            until = self._position + max_bytes
            await self._connection.converse(self._question, partial(self._read, sink=sink, until=until), key=self._key)
        except (RequestRefused, ObjectNotFound) as error:
            status = error.status if isinstance(error, RequestRefused) else 404
            if status == 416:  # the range starts behind the end
                return False
            if status == 412 or (status == 404 and self._etag):
                raise BackendUnavailable(f"{self._key!r} was replaced while it was read. Read it from the start.") from error
            raise
        if self._is_damaged:  # outside of the retries: a second attempt has to begin at the first byte
            raise DamagedObject(
                f"The bytes of {self._key!r} do not have the digest that is stored with them. "
                f"Read it again; if that fails too, the object itself is damaged: upload it again."
            )
        return True

    def close(self) -> None:
        """Give the connection back, in a worker thread. Calling it again does nothing."""
        self._is_closed = True
        if self._body is not None or self._lock.locked():
            self._connection.release(self._release)

    def _question(self) -> tuple[str, dict[str, Any]] | None:
        if self._body is not None:
            return None
        parameters: dict[str, Any] = {"Bucket": self._connection.settings.bucket_name, "Key": self._key}
        if self._has_range():
            parameters["Range"] = f"bytes={self._position}-{'' if self._end is None else self._end - 1}"
        if self._etag:
            parameters["IfMatch"] = f'"{self._etag}"'
        return "get_object", parameters

    def _has_range(self) -> bool:
        return bool(self._position) or self._end is not None

    def _read(self, answer: Any, *, sink: io.BytesIO, until: int) -> None:
        with self._lock:
            try:
                if answer is not None:
                    self._open(answer)
                while self._body is not None and self._position < until:
                    # While one piece is digested the next ones arrive: the system has room for some of them.
                    room = self._room[: until - self._position]
                    piece = room[: self._body.readinto(room)]
                    self._advance(piece)
                    sink.write(piece)
                    if self._is_closed:
                        self._drop()
            except BaseException:
                self._drop()
                raise

    def _open(self, answer: Any) -> None:
        self._body = answer["Body"]
        etag = answer["ETag"].strip('"')
        if self._etag and etag != self._etag:  # a store that does not know If-Match
            raise RequestRefused("Another version was answered.", code="PreconditionFailed", status=412)
        end = self._position + answer["ContentLength"]
        if not self._is_asked(answer.get("ContentRange"), end=end):
            raise RequestRefused(f"The store answered another range of {self._key!r}.", code="InvalidRange", status=200)
        if self._is_whole and not self._etag:
            self._check = expected_digest(etag, answer.get("Metadata", {}))
        self._etag, self._length = etag, end
        if not self._room:
            self._room = memoryview(bytearray(min(_PIECE_BYTES, answer["ContentLength"])))

    def _is_asked(self, told: str | None, *, end: int) -> bool:
        # What an answer brings has to be what was asked for, to the byte, and after a cut just what was left.
        found = _RANGE.fullmatch(told or "")
        size = int(found[2]) if found and found[2] != "*" else end
        is_range = found is not None and found[1] == f"{self._position}-{end - 1}" and end == min(self._end or size, size)
        return self._length in (None, end) and (is_range if self._has_range() else told is None)

    def _advance(self, block: memoryview) -> None:
        self._position += len(block)
        is_end = self._position == self._length
        if not block and not is_end:
            raise BackendUnavailable(f"The answer for {self._key!r} ended early.")
        if self._check:
            digest, expected = self._check
            digest.update(block)
            if is_end and digest.hexdigest() != expected:
                self._is_damaged = True
        if is_end:
            self._drop()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _release(self) -> None:
        with self._lock:
            self._drop()
