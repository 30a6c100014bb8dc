"""What an object's headers may say; imported by the interface's front door and by every storage backend."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from indiaai_core.errors import InvalidRequest

__all__ = [
    "MAX_CONTENT_TYPE_CHARACTERS",
    "MAX_HEADER_CHARACTERS",
    "check_cache_control",
    "check_content_disposition",
    "check_content_type",
]

MAX_CONTENT_TYPE_CHARACTERS = 255
"""The longest content type."""

MAX_HEADER_CHARACTERS = 1024
"""The longest cache control and content disposition, in the form that travels: room for a file name of 255 bytes."""

_PARAMETER = re.compile(r';\s*(?P<name>[^\s=;"]+)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^;"]*)')
_ESCAPED = re.compile(r"\\(.)")
_BEYOND_ASCII = re.compile(r"[^ -~]")

# What RFC 8187 lets stand unquoted, beyond the letters, digits and `_.-~` that `quote` never touches.
_UNQUOTED = "!#$&+^`|"


def check_content_type(content_type: str) -> str:
    """Return the media type, or refuse it.

    Raises:
        InvalidRequest: It is not 1 to 255 printable ASCII characters, or begins or ends in a space, and so could not
            travel in a header as it is.
    """
    text = _text("content_type", content_type)
    if not 1 <= len(text) <= MAX_CONTENT_TYPE_CHARACTERS or not text.isascii() or text != text.strip():
        raise InvalidRequest(
            f"content_type={text[:80]!r}: expected 1 to {MAX_CONTENT_TYPE_CHARACTERS} printable ASCII characters, "
            "with no space at either end."
        )
    return text


def check_cache_control(cache_control: str | None) -> str:
    """Return the value for `Cache-Control`, or refuse it.

    Args:
        cache_control: As in `public, max-age=3600`; None or an empty text for none.

    Returns:
        The value without the spaces around it; empty for none.

    Raises:
        InvalidRequest: It has other characters than printable ASCII, or more than 1,024.
    """
    return _header("cache_control", _text("cache_control", cache_control or "").strip())


def check_content_disposition(content_disposition: str | None) -> str:
    """Return the value for `Content-Disposition` in the form that travels, or refuse it.

    A file name in any script may be given as it is: `attachment; filename="बिल.pdf"` becomes a `filename*` in UTF-8
    (RFC 6266, RFC 8187), which browsers prefer, and a `filename` in ASCII for those that know no other. What is
    ASCII already stays as it is, so that this form may be given again.

    Args:
        content_disposition: As in `inline` or `attachment; filename="bill.pdf"`; None or an empty text for none.

    Returns:
        The value in ASCII, without the spaces around it; empty for none.

    Raises:
        InvalidRequest: It has a control character, a lone surrogate, or a character beyond ASCII elsewhere than in its
            `filename`; or more than 1,024 characters in the form that travels.
    """
    text = _text("content_disposition", content_disposition or "").strip()
    return _header("content_disposition", text if text.isascii() else _with_encoded_name(text))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}={value!r}: expected a str, not {type(value).__name__}.")
    # A line break would begin a header of its own, and a lone surrogate has no UTF-8 form.
    if not value.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise InvalidRequest(f"{name}={value[:80]!r}: control characters and lone surrogates are not allowed.")
    return value


def _header(name: str, value: str) -> str:
    if not value.isascii():
        raise InvalidRequest(f"{name}={value[:80]!r}: expected ASCII, save in the quoted filename of a disposition.")
    if len(value) > MAX_HEADER_CHARACTERS:
        raise InvalidRequest(
            f"{name} of {len(value)} characters in the form that travels: the limit is {MAX_HEADER_CHARACTERS}."
        )
    return value


def _with_encoded_name(disposition: str) -> str:
    has_extended_name = any(found["name"].lower() == "filename*" for found in _PARAMETER.finditer(disposition))

    def encoded(found: re.Match[str]) -> str:
        name, value = found["name"].lower(), found["value"].strip()
        if name != "filename" or value.isascii():
            return found[0]
        plain = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        fallback = re.sub(r'(["\\])', r"\\\1", _BEYOND_ASCII.sub("_", plain))
        extended = "" if has_extended_name else f"; filename*=UTF-8''{quote(plain, safe=_UNQUOTED)}"
        return f'; filename="{fallback}"{extended}'

    return _PARAMETER.sub(encoded, disposition)
