"""The way from a file to its content; imported by the process that reads."""

from __future__ import annotations

from pathlib import Path

from extraction.content import Content, Report, Unreadable
from extraction.kind import Kind, sniffed_kind

__all__ = ["read_file"]


def read_file(path: Path, kind: Kind | None, report: Report) -> Content:
    """Read a file as what it claims to be, or as what its first bytes say.

    Args:
        path: The file.
        kind: What it claims to be; None where it claims nothing.
        report: Hears how far the reading is.

    Raises:
        Unreadable: The file cannot be read and never will be.
    """
    with path.open("rb") as file:
        kind = kind or sniffed_kind(file.read(1024))
    try:
        return _read_as(kind, path, report)
    except MemoryError as error:
        raise Unreadable("Reading the file takes more memory than one file may have.") from error


def _read_as(kind: Kind, path: Path, report: Report) -> Content:
    # Each reader is imported when it is needed: pypdf alone takes longer to import than a text to read.
    match kind:
        case Kind.PDF:
            from extraction.pdf import read_pdf

            return read_pdf(path, report)
        case Kind.IMAGE:
            from extraction.image import read_image

            return read_image(path, report)
        case Kind.MARKDOWN:
            from extraction.text import read_markdown

            return read_markdown(path, report)
        case Kind.TEXT:
            from extraction.text import read_text

            return read_text(path, report)
