"""PDF; imported by `extraction.reading`, and by nothing that need not wait for pypdf."""

from __future__ import annotations

import zlib
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

from extraction.content import Content, Report, TextCollector, Unreadable
from extraction.kind import Kind

__all__ = ["read_pdf"]


def read_pdf(path: Path, report: Report) -> Content:
    """Read the text of every page.

    Raises:
        Unreadable: It is not a PDF, is protected by a password, or is broken.
    """
    try:
        return _read(path, report)
    except (Unreadable, MemoryError):
        raise
    except (FileNotDecryptedError, DependencyError) as error:
        raise Unreadable("The PDF is protected by a password. Send it without one.") from error
    except Exception as error:  # a broken PDF makes pypdf raise almost anything, KeyError and RecursionError among it
        raise Unreadable(f"The PDF is broken: {str(error) or type(error).__name__}.") from error


def _read(path: Path, report: Report) -> Content:
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise Unreadable("This is not a PDF: it does not begin as one (%PDF-).")
        reader = PdfReader(file)
        # Many PDFs are encrypted with an empty password, only to forbid printing: any viewer opens them, and so do we.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("The PDF is protected by a password. Send it without one.")
        return _read_pages(reader, report)


def _read_pages(reader: PdfReader, report: Report) -> Content:
    collector = TextCollector()
    page_count = len(reader.pages)
    faults: list[str] = []
    for number, page in enumerate(reader.pages, start=1):
        try:
            page.get_contents()  # extract_text gives no text for a page that cannot be unpacked, and says nothing
            collector.add(page.extract_text().rstrip() + ("\n\n" if number < page_count else "\n"))
        except (PyPdfError, zlib.error) as error:
            faults.append(str(error))
        report(number / page_count)
    if len(faults) == page_count:
        raise Unreadable(f"None of its {page_count} pages can be read: {faults[0]}" if faults else "The PDF has no pages.")
    damage = {"unreadable_pages": len(faults)} if faults else {}
    return Content(Kind.PDF, {"pages": page_count, **damage, **collector.facts}, collector.text)
