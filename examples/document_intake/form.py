"""One file out of a multipart form, piece by piece as it arrives; imported by the upload.

Starlette's own form parsing writes every file to disk before the endpoint runs. Here the bytes go straight on to the
storage, so an upload costs the memory of one piece, and a refused one is refused at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from typing import Self

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

__all__ = ["FIELD", "IncomingFile", "safe_name"]

FIELD = "file"
"""The form's field that carries the file."""

_ALLOWANCE_BYTES = 64 * 1024  # for the boundaries, the headers and any small fields beside the file


class IncomingFile:
    """The file that a request is sending. Iterate over it once, to its end.

    Attributes:
        name: What the sender calls it, made safe to show and to keep.
        declared_type: What the sender says it is; to be believed with care.
        size: How many of its bytes have come so far.
    """

    def __init__(self, request: Request, *, boundary: bytes, max_bytes: int) -> None:
        """Prepare to read; `IncomingFile.begin` does it."""
        self.name = ""
        self.declared_type = ""
        self.size = 0
        self._body = request.stream()
        self._max_bytes = max_bytes
        self._body_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._arrived: list[bytes] = []
        self._is_current = self._is_found = self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_part,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )

    @classmethod
    async def begin(cls, request: Request, *, max_bytes: int) -> Self:
        """Read a request as far as the file's first bytes.

        Args:
            request: A `multipart/form-data` request whose body nobody has read.
            max_bytes: The most bytes the file may have.

        Raises:
            HTTPException: 400, 413, 415 or 422 with a plain message: there is no file to store.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise HTTPException(415, f"Send the file as multipart/form-data, in the field {FIELD!r}.")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes + _ALLOWANCE_BYTES:
            raise _too_large(max_bytes)
        try:
            file = cls(request, boundary=options[b"boundary"], max_bytes=max_bytes)
        except FormParserError as error:
            raise HTTPException(400, f"The form cannot be read: {error}.") from error
        while not file._arrived and await file._read_on():
            pass
        if not file._is_found:
            raise HTTPException(422, f"There is no file in the form. Send one in the field {FIELD!r}.")
        if not file._arrived:
            raise HTTPException(422, f"The file {file.name!r} is empty.")
        return file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the file's bytes as they come.

        Raises:
            HTTPException: 400 if the sender stops before the end, 413 if the file is larger than it may be.
        """
        while self._arrived or await self._read_on():
            if self._arrived:
                piece = b"".join(self._arrived)
                self._arrived.clear()
                yield piece

    async def _read_on(self) -> bool:
        try:
            chunk = await anext(self._body, b"")
            self._body_bytes += len(chunk)
            self._parser.write(chunk)
        except ClientDisconnect as error:
            raise HTTPException(400, "The upload was cut off before its end; nothing was stored.") from error
        except FormParserError as error:
            raise HTTPException(400, f"The form cannot be read: {error}.") from error
        if self.size > self._max_bytes or self._body_bytes > self._max_bytes + _ALLOWANCE_BYTES:
            raise _too_large(self._max_bytes)
        if not chunk and not self._is_whole:
            raise HTTPException(400, "The form ends before its closing boundary; nothing was stored.")
        return bool(chunk)

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._is_current = options.get(b"name") == FIELD.encode() and b"filename" in options
        if self._is_current and self._is_found:
            raise HTTPException(400, "There is more than one file in the form. Send one at a time.")
        if self._is_current:
            self._is_found = True
            self.name = safe_name(options[b"filename"].decode("utf-8", "replace"))
            self.declared_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_current:
            self.size += end - start
            self._arrived.append(data[start:end])

    def _on_end(self) -> None:
        self._is_whole = True


def safe_name(name: str) -> str:
    """Return a file's name as it may be shown and kept: its last part, composed, without control characters.

    Args:
        name: The name as a stranger sent it, perhaps with a path, a NUL or a right-to-left override in it.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    # Format characters (Cf) can make a name read as another, but ZWNJ and ZWJ are part of how Indian scripts are written.
    kept = "".join(c for c in last if c in "\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    return kept.strip(" .")[-200:] or "document"


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"The file is too large. The limit is {max_bytes / 1_000_000:,g} MB.")
