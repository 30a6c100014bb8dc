"""The readers by themselves, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction import MAX_TEXT_CHARACTERS, Content, Kind, Unreadable, claimed_kind, media_type, read_file
from extraction.content import TextCollector, storable
from form import safe_name


def read(path: Path, kind: Kind | None = None) -> Content:
    """Read a file and mind nothing about the progress."""
    return read_file(path, kind, lambda _fraction: None)


@given(st.text(), st.lists(st.integers(0, 50)))
def test_counts_are_the_same_however_a_text_is_cut_into_pieces(text: str, cuts: list[int]) -> None:
    """A word or a line that goes on from one piece to the next is counted once."""
    collector = TextCollector()

    rest = text
    for cut in cuts:
        collector.add(rest[:cut])
        rest = rest[cut:]
    collector.add(rest)

    assert collector.facts["characters"] == len(text)
    assert collector.facts["words"] == len(text.split())
    assert collector.facts["lines"] == text.count("\n") + (text != "" and not text.endswith("\n"))


@given(st.text(st.characters()))
def test_what_is_kept_of_any_text_is_storable(text: str) -> None:
    """Whatever a broken file makes of itself, a database and JSON in UTF-8 can hold it."""
    kept = storable(text)

    assert "\0" not in kept
    assert kept.encode("utf-8").decode("utf-8") == kept


def test_of_a_long_text_the_beginning_is_kept_and_all_of_it_counted(tmp_path: Path) -> None:
    """A text beyond the limit says that it is not complete."""
    path = tmp_path / "long.txt"
    path.write_text("word " * MAX_TEXT_CHARACTERS, "utf-8")

    content = read(path)

    assert len(content.text) == MAX_TEXT_CHARACTERS
    assert content.facts["words"] == MAX_TEXT_CHARACTERS
    assert content.facts["is_text_complete"] is False


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """What Windows editors call Unicode is text too, and the mark is no part of it."""
    path = tmp_path / "text.txt"
    path.write_text("தமிழ் नमस्ते", encoding)

    content = read(path)

    assert content.text == "தமிழ் नमस्ते"


def test_a_character_cut_by_the_end_of_the_file_is_named(tmp_path: Path) -> None:
    """A text whose last character is not whole is not text in UTF-8."""
    path = tmp_path / "cut.txt"
    path.write_bytes("नमस्ते".encode()[:-1])

    with pytest.raises(Unreadable, match="not text in UTF-8"):
        read(path)


@pytest.mark.parametrize(
    ("name", "declared", "kept"),
    [
        ("a.PDF", "text/html", "application/pdf"),
        ("a.html", "text/html", "application/octet-stream"),
        ("a", "text/plain; charset=latin-1", "text/plain; charset=utf-8"),
        ("a", "", "application/octet-stream"),
        ("a.svg", "image/svg+xml", "application/octet-stream"),
    ],
)
def test_the_media_type_is_one_of_a_few_harmless_ones(name: str, declared: str, kept: str) -> None:
    """A suffix decides, then what is declared, and what a browser would run is never believed."""
    assert media_type(name, declared) == kept


def test_bytes_without_a_meaning_claim_no_kind() -> None:
    """Where neither name nor sender says what a file is, its first bytes are asked."""
    assert claimed_kind("application/octet-stream") is None


@given(st.text(st.characters()))
def test_any_name_can_be_kept_and_shown(name: str) -> None:
    """A name has a length that fits, no path and no control characters, whatever was sent."""
    kept = safe_name(name)

    assert 1 <= len(kept) <= 200
    assert "/" not in kept
    assert kept.encode("utf-8")
    assert kept.isprintable() or "\u200c" in kept or "\u200d" in kept or any(c.isspace() or not c.isascii() for c in kept)
