"""Which file holds which object: a key to the names of folders and file, and back; imported by the tree alone.

The names differ on every file system wherever the keys differ: also where case, Unicode forms, invisible characters,
trailing dots or device names make no difference. What could is written as `%XX`, byte for byte. The characters that stay
are listed here rather than asked of Unicode's tables, which grow with every Python: a key must keep its name for ever.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from indiaai_core.errors import InvalidKey
from indiaai_core.storage import normalize_key

__all__ = ["decode_name", "encode_key", "encode_part", "is_folder", "key_of", "plain_path"]

_PIECE_BYTES = 128
"""Where a part is cut into several levels: some encrypting file systems end a name at 143 bytes, most at 255."""

# Scripts without case, letter for letter: Arabic, the Indic scripts to Sinhala, Thai, Kana, Han, Hangul, and emoji.
_UNSAFE = re.compile(
    "[^a-z0-9 !#$&'()+,\\-.;=@\\[\\]^_`{}~"
    "\u0620-\u064a\u0900-\u0dff\u0e01-\u0e3a\u0e40-\u0e5b\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"
    "\U0001f300-\U0001faff]"
)
_TOKEN = re.compile("%..|.", re.DOTALL)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$) *(\.|$)", re.ASCII)

_PLAIN_PART = r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:[./]|$))[a-z0-9_-][a-z0-9_.-]*(?<!\.)"
_PLAIN_KEY = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART})*", re.ASCII)


def encode_key(key: str) -> tuple[str, ...]:
    """Return the names that lead to an object: its folders', then its file's.

    A folder's name ends in `%`, or in `%%` where it holds the rest of the same part: escaping makes neither, so the key
    `a` is a file beside the folder of `a/b`.

    Args:
        key: A key as `normalize_key` gives it.
    """
    if path := plain_path(key):
        return tuple(path.split("/"))
    *folders, leaf = key.split("/")
    return (*(name for part in folders for name in encode_part(part, "%")), *encode_part(leaf, ""))


def plain_path(key: object) -> str | None:
    """Return the path that a key leads to, for a key of the plain kind that most are; None for all else, good or bad.

    It is what the rules of `encode_key` give, at a tenth of the time.
    """
    if not isinstance(key, str) or len(key) > _PIECE_BYTES or not _PLAIN_KEY.fullmatch(key):
        return None
    return key.replace("/", "%/")


def encode_part(part: str, suffix: str) -> Iterator[str]:
    """Yield the names for one part of a key; more than one where it is long.

    Args:
        part: What stands between two `/`.
        suffix: What the last name ends in.
    """
    escaped = _UNSAFE.sub(lambda found: _escape(found[0]), part)
    piece = escaped
    if len(escaped.encode()) > _PIECE_BYTES:
        piece = ""
        for token in _TOKEN.findall(escaped):
            if len((piece + token).encode()) > _PIECE_BYTES:
                yield _guard(piece) + "%%"
                piece = ""
            piece += token
    yield _guard(piece) + suffix


def decode_name(name: str) -> bytes:
    """Return what a name adds to the key, as UTF-8: a folder's ends in `/` unless it is the part's beginning only."""
    end = b"" if name.endswith("%%") or not is_folder(name) else b"/"
    return unquote_to_bytes(name.rstrip("%")) + end


def is_folder(name: str) -> bool:
    """Return whether a name is that of a folder."""
    return name.endswith("%")


def key_of(names: tuple[str, ...]) -> str | None:
    """Return the key of the object that the names lead to; None where they are not what a key is encoded to."""
    try:
        key = normalize_key(b"".join(map(decode_name, names)).decode())
    except (InvalidKey, UnicodeDecodeError):
        return None
    # Some file systems hand names out decomposed: they are compared in one form.
    same = unicodedata.normalize("NFC", "\0".join(names)) == unicodedata.normalize("NFC", "\0".join(encode_key(key)))
    return key if same else None


def _escape(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _guard(piece: str) -> str:
    # Hidden files, device names, and the dots and spaces that Windows drops from the end.
    if piece.startswith(".") or _RESERVED.match(piece):
        piece = _escape(piece[0]) + piece[1:]
    return piece[:-1] + _escape(piece[-1]) if piece.endswith((".", " ")) else piece
