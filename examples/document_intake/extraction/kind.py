"""Which kinds of file are read, and how one is told; imported by the upload and by the readers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

__all__ = ["Kind", "claimed_kind", "media_type", "sniffed_kind"]


class Kind(StrEnum):
    """A kind of file that is read."""

    TEXT = "text"
    MARKDOWN = "markdown"
    PDF = "pdf"
    IMAGE = "image"


# What a browser is told when it opens the file. Nothing here runs a script, whatever the sender called the file.
_MEDIA_TYPES = {
    ".txt": "text/plain; charset=utf-8",
    ".text": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".markdown": "text/markdown; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM")


def media_type(file_name: str, declared: str = "") -> str:
    """Return the media type to keep a file under.

    Args:
        file_name: The name it was sent with; its suffix decides.
        declared: What the sender says it is; believed only where the suffix says nothing, and only of what is read here.
    """
    known = _MEDIA_TYPES.get(PurePath(file_name).suffix.lower())
    bare = declared.partition(";")[0].strip().lower()
    return known or next((kept for kept in _MEDIA_TYPES.values() if kept.partition(";")[0] == bare), "application/octet-stream")


def claimed_kind(kept_media_type: str) -> Kind | None:
    """Return the kind of file that a media type of `media_type` stands for; None where it says nothing."""
    family, _, subtype = kept_media_type.partition(";")[0].partition("/")
    if family == "image":
        return Kind.IMAGE
    return {"plain": Kind.TEXT, "markdown": Kind.MARKDOWN, "pdf": Kind.PDF}.get(subtype)


def sniffed_kind(head: bytes) -> Kind:
    """Return the kind of file that begins with these bytes; text where nothing else is recognised.

    Args:
        head: The first KiB of the file.
    """
    if b"%PDF-" in head:
        return Kind.PDF
    if head.startswith(_SIGNATURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return Kind.IMAGE
    return Kind.TEXT
