"""What is refused, and that it leaves nothing."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from application import Application, wait_for

BOUNDARY = "limit"
PART_HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'.encode()
PART_END = f"\r\n--{BOUNDARY}--\r\n".encode()
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LIMIT_BYTES = 1_000_000


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Return an application that takes a million bytes, and two seconds, at most."""
    folder = tmp_path_factory.mktemp("limited")
    with Application(folder, INTAKE_MAX_UPLOAD_BYTES=str(LIMIT_BYTES), INTAKE_MAX_UPLOAD_SECONDS="2") as application:
        yield application


@pytest.fixture
def untouched(limited: Application) -> Iterator[Application]:
    """Return the application, and see to it that the test left no object, no row and so no job."""
    before = limited.stored_bytes(), len(limited.rows())
    yield limited
    wait_for(lambda: (limited.stored_bytes(), len(limited.rows())) == before, seconds=10)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (PART_HEAD + PART_END, 422, "is empty"),
        (PART_HEAD.replace(b'"file"', b'"document"') + b"text" + PART_END, 422, "no file in the form"),
        (PART_HEAD.replace(b'; filename="a.txt"', b"") + b"text" + PART_END, 422, "no file in the form"),
        (f"--{BOUNDARY}--\r\n".encode(), 422, "no file in the form"),
        (b"", 400, "ends before its closing boundary"),
        (PART_HEAD + b"text", 400, "ends before its closing boundary"),
        (b"text and no form at all", 400, "cannot be read"),
        (PART_HEAD.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 100_000) + b"text" + PART_END, 400, "cannot be read"),
        (PART_HEAD + b"one\r\n" + PART_HEAD + b"two" + PART_END, 400, "more than one"),
        (PART_HEAD + b"x" * (LIMIT_BYTES + 1) + PART_END, 413, "too large"),
        (PART_HEAD + b"x" * (LIMIT_BYTES + 200_000) + PART_END, 413, "too large"),
        (PART_HEAD.replace(b'"file"', b'"note"') + b"x" * (LIMIT_BYTES + 200_000) + PART_END, 413, "too large"),
    ],
    ids=[
        "empty file",
        "wrong field",
        "a field that is no file",
        "empty form",
        "empty body",
        "no end",
        "no form",
        "endless header",
        "two files",
        "one byte too many",
        "far too many bytes",
        "too many bytes beside the file",
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_form_that_cannot_be_taken_is_refused_in_plain_words(
    untouched: Application, body: bytes, status: int, words: str, is_chunked: bool
) -> None:
    """A faulty form gets its 4xx and a sentence, whether its length is declared or not, and leaves nothing."""
    content = iter([body[start : start + 50_000] for start in range(0, len(body), 50_000)]) if is_chunked else body

    answer = untouched.client.post("/upload", content=content, headers={"Content-Type": CONTENT_TYPE})

    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=", ""])
def test_what_is_not_a_form_is_415(untouched: Application, content_type: str) -> None:
    """Anything but a multipart form with a boundary is refused before its body is read."""
    answer = untouched.client.post("/upload", content=b"{}", headers={"Content-Type": content_type})

    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["detail"]


def test_a_boundary_that_no_form_has_is_400(untouched: Application) -> None:
    """A boundary longer than the standard allows is refused in plain words."""
    headers = {"Content-Type": f"multipart/form-data; boundary={'b' * 1_000}"}

    answer = untouched.client.post("/upload", content=b"", headers=headers)

    assert answer.status_code == 400
    assert "cannot be read" in answer.json()["detail"]


def test_a_file_of_exactly_the_limit_is_taken(limited: Application) -> None:
    """The limit is the largest file that is taken, and not the smallest that is refused."""
    job = limited.work("full.txt", b"x" * LIMIT_BYTES)

    assert job["result"]["characters"] == LIMIT_BYTES


@pytest.mark.parametrize("sent_bytes", [0, 10, 300_000], ids=["before the file", "in its first bytes", "in its middle"])
def test_an_upload_that_is_cut_off_leaves_nothing(untouched: Application, sent_bytes: int) -> None:
    """A sender who vanishes leaves no object, no row and no job, and the application goes on."""
    with _connect(untouched) as connection:
        connection.sendall(_head(f"Content-Length: {LIMIT_BYTES}") + (PART_HEAD + b"x" * sent_bytes if sent_bytes else b""))

    assert untouched.client.get("/health/ready").status_code == 200
    assert "Traceback" not in untouched.log


def test_an_upload_that_says_it_is_shorter_than_it_is_leaves_nothing(untouched: Application) -> None:
    """A Content-Length that lies makes the form end early, which is refused."""
    with _connect(untouched) as connection:
        connection.sendall(_head("Content-Length: 500", "Connection: close") + PART_HEAD + b"x" * 500 + PART_END)
        answer = connection.makefile("rb").readline()

    assert b" 400 " in answer


def test_an_upload_that_takes_too_long_is_408(untouched: Application) -> None:
    """A sender who dawdles is let go, and leaves nothing."""
    with _connect(untouched) as connection:
        connection.sendall(_head(f"Content-Length: {LIMIT_BYTES}") + PART_HEAD + b"x" * 1_000)
        answer = connection.makefile("rb").readline()

    assert b" 408 " in answer


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of another process is read from /proc")
def test_a_large_upload_is_never_whole_in_memory(start: Callable[..., Application]) -> None:
    """A file of 96 MiB costs less than 32 MiB of memory, on its way in and on its way to the reader."""
    application = start(INTAKE_MAX_UPLOAD_BYTES=str(100 * 1024 * 1024))
    application.work("first.txt", b"so that everything is loaded")
    before = application.peak_memory_bytes

    job = application.work("large.txt", b"a line of some length, many times\n" * (96 * 1024 * 1024 // 34))

    assert job["result"]["words"] == 7 * (96 * 1024 * 1024 // 34)
    assert application.peak_memory_bytes - before < 32 * 1024 * 1024


def _connect(application: Application) -> socket.socket:
    parts = urlsplit(application.address)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20)


def _head(*lines: str) -> bytes:
    return "\r\n".join(["POST /upload HTTP/1.1", "Host: test", f"Content-Type: {CONTENT_TYPE}", *lines, "\r\n"]).encode()
