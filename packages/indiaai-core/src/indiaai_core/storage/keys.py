"""Which keys an object may have; imported by the interface, by every storage backend and by the conformance suite."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from indiaai_core.errors import InvalidKey, InvalidRequest

__all__ = [
    "MAX_EXPIRY_SECONDS",
    "MAX_KEY_BYTES",
    "MAX_METADATA_BYTES",
    "check_expiry",
    "check_metadata",
    "check_range",
    "normalize_key",
    "normalize_prefix",
]

MAX_KEY_BYTES = 1024
"""The longest key in UTF-8 bytes after normalisation; S3's and R2's own limit."""

MAX_EXPIRY_SECONDS = 7 * 24 * 3600
"""The longest life of a signed URL; SigV4's own limit."""

MAX_METADATA_BYTES = 2048
"""The most bytes that names and values of an object's metadata have together; S3's own limit."""

_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)


def normalize_key(file_key: str) -> str:
    """Return the key in the one form that names its object, or refuse it.

    Every backend calls this first, before anything is touched, so that a key is good or bad everywhere alike.

    Args:
        file_key: A relative path of 1 to 1,024 UTF-8 bytes after normalisation to NFC. Its parts between `/` are
            neither empty nor `.` nor `..`; no control character, no backslash, no lone surrogate.

    Returns:
        The key in NFC. Case is kept: it matters.

    Raises:
        InvalidKey: The key breaks one of these rules.
    """
    if not isinstance(file_key, str):
        raise InvalidKey(file_key, f"a key is a str, not {type(file_key).__name__}")
    key = _normalize_text(file_key)
    if not key:
        raise InvalidKey(file_key, "it is empty")
    if key.startswith("/"):
        raise InvalidKey(file_key, "a key is a relative path and starts with no '/'")
    for part in key.split("/"):
        if part in ("", ".", ".."):
            raise InvalidKey(file_key, f"the part {part!r} between '/' is not allowed")
    return key


def normalize_prefix(prefix: str) -> str:
    """Return a prefix for `list` in the form that keys have, or refuse it.

    A prefix is a string prefix and not a folder: it may be empty, end in `/` or stop in the middle of a part. A prefix
    that no key can start with (`/a`, `a//`, `../`) is allowed and matches nothing.

    Raises:
        InvalidKey: It is longer than a key can be, or holds a character that no key can hold.
    """
    if not isinstance(prefix, str):
        raise InvalidKey(prefix, f"a prefix is a str, not {type(prefix).__name__}")
    return _normalize_text(prefix)


def _normalize_text(text: str) -> str:
    # NFC first: only the composed form is measured, compared and stored, as R2 does it.
    key = text if text.isascii() else unicodedata.normalize("NFC", text)
    if "\\" in key:
        raise InvalidKey(text, "a backslash is not allowed; parts are separated by '/'")
    if not key.isprintable() and any(unicodedata.category(character) == "Cc" for character in key):
        raise InvalidKey(text, "control characters are not allowed")
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidKey(text, "it holds a lone surrogate and has no UTF-8 form") from error
    if size > MAX_KEY_BYTES:
        raise InvalidKey(text, f"it has {size} bytes in UTF-8; the limit is {MAX_KEY_BYTES}")
    return key


def check_expiry(expires_in: object) -> int:
    """Return the lifetime of a signed URL in seconds, or refuse it.

    Raises:
        InvalidRequest: It is not a whole number of seconds from 1 to 604,800 (7 days).
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int) or not 1 <= expires_in <= MAX_EXPIRY_SECONDS:
        raise InvalidRequest(
            f"expires_in={expires_in!r}: expected a whole number of seconds from 1 to {MAX_EXPIRY_SECONDS} (7 days)."
        )
    return expires_in


def check_range(start: int, end: int | None, chunk_size: int) -> None:
    """Refuse a byte range `[start, end)` or a chunk size that makes no sense.

    A range that reaches past the end of the object is none of those: like a slice, it gives what is there.

    Raises:
        InvalidRequest: `start` is negative, `end` lies before `start`, or `chunk_size` is not positive.
    """
    if start < 0 or (end is not None and end < start):
        raise InvalidRequest(f"start={start}, end={end}: expected 0 <= start <= end.")
    if chunk_size < 1:
        raise InvalidRequest(f"chunk_size={chunk_size}: expected at least 1 byte.")


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata with its names in lower case, or refuse it.

    Raises:
        InvalidRequest: A name is not `[a-z0-9][a-z0-9_-]*`, or names and values have more than 2 KiB in UTF-8.
    """
    pairs = {name.lower(): value for name, value in (metadata or {}).items()}
    for name in pairs:
        if not _METADATA_NAME.fullmatch(name):
            raise InvalidRequest(f"metadata name {name[:80]!r}: expected letters, digits, '-' and '_'.")
    size = sum(len(name) + len(value.encode("utf-8", "surrogatepass")) for name, value in pairs.items())
    if size > MAX_METADATA_BYTES:
        raise InvalidRequest(f"metadata of {size} bytes: the limit is {MAX_METADATA_BYTES} for names and values.")
    return pairs
