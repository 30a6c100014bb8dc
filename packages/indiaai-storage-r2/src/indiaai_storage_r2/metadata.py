"""How metadata travels in ASCII headers, the user's pairs beside our own; imported by uploads, digests and the service.

Our own names start with `indiaai-`; a user's name that does is kept under `indiaai-user-`. A value that a header would not
bring back as it is travels in the form of RFC 8187 (`UTF-8''…`), so that plain values stay readable to every other tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, unquote

__all__ = ["PART_SIZE", "SHA256", "UPLOAD_ID", "decode_metadata", "encode_metadata"]

SHA256 = "indiaai-sha256"
"""The SHA-256 of an object that was sent in one request."""

PART_SIZE = "indiaai-part-size"
"""The length in bytes of the parts of one that was not: with it its ETag, a digest of digests, can be computed again."""

UPLOAD_ID = "indiaai-upload"
"""A number drawn for one upload, which tells whether the object in the store is this upload's."""

_OWN = "indiaai-"
_ESCAPED = "indiaai-user-"
_MARK = "UTF-8''"
_WORD = "=?"  # with which an encoded word of RFC 2047 begins: R2 decodes what looks like one
_KEPT = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%?")


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the user's pairs, as `check_metadata` returns them, in the form in which they are sent."""
    return {f"{_ESCAPED if name.startswith(_OWN) else ''}{name}": _encode(value) for name, value in metadata.items()}


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user's pairs out of what the store answers; pairs that another tool has set are among them."""
    names = {name.lower(): value for name, value in headers.items()}
    return {
        name.removeprefix(_ESCAPED): _decode(value)
        for name, value in names.items()
        if name.startswith(_ESCAPED) or not name.startswith(_OWN)
    }


def _encode(value: str) -> str:
    # A header loses the blanks around its value, and some servers one that is empty.
    is_plain = value and value.isascii() and value.isprintable() and value == value.strip() and not value.startswith(_MARK)
    return value if is_plain and _WORD not in value else _MARK + quote(value, safe=_KEPT, errors="surrogatepass")


def _decode(value: str) -> str:
    with suppress(UnicodeDecodeError):  # another tool's, in another form
        return unquote(value.removeprefix(_MARK), errors="surrogatepass") if value.startswith(_MARK) else value
    return value
