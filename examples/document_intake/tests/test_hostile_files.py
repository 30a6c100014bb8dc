"""Files that are broken, or built to do harm: each ends as a failed job that says why, at the first attempt."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from application import DOCUMENTS, Application
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject


def pdf_with(stream: bytes, *, password: str = "", page_count: int = 1) -> bytes:
    """Return a PDF whose every page is drawn by the same compressed stream."""
    writer = PdfWriter()
    content = DecodedStreamObject()
    content.set_data(stream)
    shared = writer._add_object(content.flate_encode())
    for _ in range(page_count):
        writer.add_blank_page(200, 200)[NameObject("/Contents")] = shared
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def png_of(width: int, height: int) -> bytes:
    """Return a PNG of a few KB that claims a size and holds as many bytes of nothing, tightly packed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * min(height, 1_000)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PDF = (DOCUMENTS / "water-report.pdf").read_bytes()
PNG = (DOCUMENTS / "water-levels.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("not.pdf", b"words and no PDF", "This is not a PDF"),
        ("cut.pdf", PDF[: len(PDF) // 2], "The PDF is broken"),
        ("header.pdf", b"%PDF-1.7\n" + bytes(1_000), "The PDF is broken"),
        ("locked.pdf", pdf_with(b"", password="secret"), "protected by a password"),
        ("bomb.pdf", pdf_with(b" " * 120_000_000), "None of its 1 pages can be read: Limit reached"),
        ("cut.png", PNG[: len(PNG) // 2], "The image is broken"),
        ("not.png", b"words and no picture", "not an image that can be read"),
        ("bomb.png", png_of(60_000, 60_000), "The image is too large: 60,000 × 60,000"),
        ("not.txt", b"\xff\xfe\xfa\xfb\xfc", "This is not text"),
        ("latin.txt", "caf\u00e9".encode("latin-1") * 10, "This is not text in UTF-8: the byte 0xE9"),
        ("nul.txt", b"text\0text", "it holds NUL bytes"),
        ("archive.zip", b"PK\x03\x04\x14\x00\x00\x00\xff\xff" * 20, "This is not text"),
    ],
)
def test_a_file_that_cannot_be_read_fails_at_once_with_a_reason(
    shared_application: Application, name: str, content: bytes, reason: str
) -> None:
    """The job and the document both say why, in words for the person who sent the file."""
    receipt = shared_application.submit(name, content)

    job = shared_application.finished(receipt["job_id"])
    document = shared_application.client.get(f"/documents/{receipt['document_id']}").json()

    assert job["state"] == document["state"] == "failed"
    assert reason in job["error"]
    assert document["error"] == job["error"]
    assert shared_application.client.get(document["url"]).content == content


def test_a_pdf_that_anyone_may_open_is_read_though_it_is_encrypted(shared_application: Application) -> None:
    """An empty password, which many PDFs have to forbid printing, is no reason to refuse one."""
    writer = PdfWriter(clone_from=PdfReader(DOCUMENTS / "water-report.pdf"))
    writer.encrypt("", "owner", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)

    job = shared_application.work("printable.pdf", target.getvalue())

    assert job["result"]["pages"] == 3


def test_a_page_that_was_sent_in_is_never_served_as_a_page(shared_application: Application) -> None:
    """HTML and SVG are kept as bytes without a meaning: a link to them runs nobody's script on our address."""
    receipts = [
        shared_application.upload("a.html", b"<script>alert(1)</script>", "text/html").json(),
        shared_application.upload("a.svg", b"<svg onload='alert(1)'/>", "image/svg+xml").json(),
    ]

    answers = [shared_application.client.get(receipt["url"]) for receipt in receipts]

    assert [answer.headers["content-type"] for answer in answers] == ["application/octet-stream"] * 2


def test_what_the_sender_calls_a_file_is_believed_only_of_what_is_read_here(shared_application: Application) -> None:
    """A name without a suffix is told by its declared type, and without that by its first bytes."""
    picture = io.BytesIO()
    Image.new("RGB", (3, 2)).save(picture, "WEBP")

    declared = shared_application.finished(shared_application.upload("letter", b"text", "text/markdown").json()["job_id"])
    sniffed = [shared_application.work("unnamed", content)["result"] for content in (picture.getvalue(), PDF, b"words")]

    assert declared["result"]["kind"] == "markdown"
    assert [facts["kind"] for facts in sniffed] == ["image", "pdf", "text"]
    assert sniffed[0]["format"] == "WEBP"
