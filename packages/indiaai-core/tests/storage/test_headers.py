"""What a content type, a cache control and a content disposition may be, and how they travel."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import check_cache_control, check_content_disposition, check_content_type

FILE_NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@pytest.mark.parametrize("content_type", ["text/plain", 'multipart/mixed; boundary="a b"', "x" * 255])
def test_a_content_type_that_a_header_can_hold_is_taken(content_type: str) -> None:
    """1 to 255 printable ASCII characters."""
    assert check_content_type(content_type) == content_type


@pytest.mark.parametrize(
    "content_type", ["", "x" * 256, "text/पाठ", "a\r\nSet-Cookie: b=c", "tab\t", " text/plain", "text/plain ", None]
)
def test_a_content_type_that_no_header_can_hold_is_refused(content_type: str) -> None:
    """Among others, one that would smuggle in a header of its own, and one that would lose the space around it."""
    with pytest.raises(InvalidRequest, match="content_type="):
        check_content_type(content_type)


@pytest.mark.parametrize("check", [check_cache_control, check_content_disposition])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_none_and_nothing_are_no_header(check: Callable[[str | None], str], value: str | None) -> None:
    """What `stat` tells of an object without a header may be given to `upload` again."""
    assert check(value) == ""


@pytest.mark.parametrize("check", [check_cache_control, check_content_disposition])
@pytest.mark.parametrize("value", ["a\r\nb: c", "nul\0", "delete\x7f", "next\x85", "lone\ud800", "x" * 1025, b"bytes", 5])
def test_what_no_header_can_hold_is_refused(check: Callable[[object], str], value: object) -> None:
    """A line break, another control character, a lone surrogate, what is too long, and what is no text."""
    with pytest.raises(InvalidRequest):
        check(value)


def test_a_cache_control_is_ascii() -> None:
    """It comes back without the spaces around it; no script but ASCII has a meaning in it."""
    assert check_cache_control(" public, max-age=3600 ") == "public, max-age=3600"
    assert check_cache_control("x" * 1024) == "x" * 1024

    with pytest.raises(InvalidRequest, match="ASCII"):
        check_cache_control("हाँ")


@pytest.mark.parametrize(
    "disposition",
    [
        "inline",
        "attachment",
        'attachment; filename="bill.pdf"',
        "attachment; filename=my bill.pdf",
        "inline; filename*=UTF-8''%E0",
    ],
)
def test_a_disposition_in_ascii_stays_as_it_is(disposition: str) -> None:
    """What can travel already is not touched, so the form that travels may be given again."""
    assert check_content_disposition(disposition) == disposition


@pytest.mark.parametrize(
    ("disposition", "travels"),
    [
        ('attachment; filename="é.pdf"', "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A9.pdf"),
        ("attachment;filename=é.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A9.pdf"),
        ('inline; FileName = "é;b.pdf" ; size=5', "inline; filename=\"_;b.pdf\"; filename*=UTF-8''%C3%A9%3Bb.pdf ; size=5"),
        (
            'attachment; filename="\\"é\\\\.pdf"',
            'attachment; filename="\\"_\\\\.pdf"; filename*=UTF-8\'\'%22%C3%A9%5C.pdf',
        ),
        ("attachment; filename=\"é\"; filename*=UTF-8''%65", "attachment; filename=\"_\"; filename*=UTF-8''%65"),
    ],
)
def test_a_name_in_any_script_is_encoded(disposition: str, travels: str) -> None:
    """The name goes as `filename*` in UTF-8, and as `filename` in ASCII for who knows no other; what was given stays."""
    assert check_content_disposition(disposition) == travels


@pytest.mark.parametrize(
    "disposition", ["बिल.pdf", 'संलग्न; filename="a"', 'inline; name="é"', 'inline; filename="é', 'é; filename="é"']
)
def test_other_characters_belong_into_the_name_alone(disposition: str) -> None:
    """Anywhere else there is no way to write them down."""
    with pytest.raises(InvalidRequest, match="filename"):
        check_content_disposition(disposition)


def test_a_long_name_fits() -> None:
    """A file name may have 255 bytes, as on most file systems, in any script; a longer one is refused by its length."""
    assert check_content_disposition(f'attachment; filename="{"क" * 85}"')

    with pytest.raises(InvalidRequest, match="the limit is 1024"):
        check_content_disposition(f'attachment; filename="{"क" * 150}"')


@given(FILE_NAMES)
def test_a_reader_finds_the_name(name: str) -> None:
    """Whoever reads the header by the rules finds the name that was given, and the form that travels is kept for good."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')

    header = check_content_disposition(f'attachment; filename="{escaped}"')

    assert check_content_disposition(header) == header
    assert header.isascii()
    assert read_name(header) == name


def read_name(header: str) -> str:
    """Return the file name in a header as Python's own reader finds it."""
    message = Message()
    message["Content-Disposition"] = header
    extended = header.partition("filename*=UTF-8''")[2]
    if extended:
        return unquote(extended, errors="strict")
    name = message.get_param("filename", header="content-disposition")  # `get_filename` strips what is in the quotes
    assert isinstance(name, str)
    return name
