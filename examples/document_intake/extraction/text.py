"""Plain text and Markdown; imported by `extraction.reading`."""

from __future__ import annotations

import codecs
from pathlib import Path

from extraction.content import Content, Report, TextCollector, Unreadable
from extraction.kind import Kind

__all__ = ["read_markdown", "read_text"]

_CHUNK_BYTES = 256 * 1024


def read_text(path: Path, report: Report) -> Content:
    """Read a text in UTF-8, or in UTF-16 or UTF-8 with a byte order mark, in pieces.

    Raises:
        Unreadable: It is not text.
    """
    return _read(path, report, Kind.TEXT)


def read_markdown(path: Path, report: Report) -> Content:
    """Read a Markdown file as `read_text` does; its text stays as it was written.

    Raises:
        Unreadable: It is not text.
    """
    return _read(path, report, Kind.MARKDOWN)


def _read(path: Path, report: Report, kind: Kind) -> Content:
    collector = TextCollector()
    size = path.stat().st_size
    with path.open("rb") as file:
        decoder = _decoder(file.read(4))
        file.seek(0)
        while True:
            chunk = file.read(_CHUNK_BYTES)
            collector.add(_decoded(decoder, chunk, file.tell()))
            if not chunk:
                return Content(kind, collector.facts, collector.text)
            report(file.tell() / size)


def _decoder(head: bytes) -> codecs.IncrementalDecoder:
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return codecs.getincrementaldecoder(encoding)()


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, end: int) -> str:
    try:
        piece = decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"This is not text in UTF-8: the byte 0x{error.object[error.start]:02X} near position "
            f"{max(0, end - len(error.object)) + error.start:,} does not fit. Save it as UTF-8, or as a PDF."
        ) from error
    if "\0" in piece:
        raise Unreadable("This is not text: it holds NUL bytes. Text, Markdown, PDF and images can be read.")
    return piece
