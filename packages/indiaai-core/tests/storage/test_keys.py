"""Which keys, prefixes and arguments a store takes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.errors import InvalidKey, InvalidRequest
from indiaai_core.storage import (
    MAX_EXPIRY_SECONDS,
    MAX_KEY_BYTES,
    check_expiry,
    check_metadata,
    check_range,
    normalize_key,
    normalize_prefix,
)
from indiaai_core.testing.storage import samples


@pytest.mark.parametrize("key", samples.ODD_KEYS)
def test_a_key_of_any_characters_is_kept_as_it_is(key: str) -> None:
    """A key that keeps the rules comes back in NFC and otherwise untouched."""
    assert normalize_key(key) == unicodedata.normalize("NFC", key)


def test_a_decomposed_key_is_composed() -> None:
    """The decomposed form of a key is the composed one."""
    assert normalize_key("cafe\u0301/re\u0301sume\u0301") == "caf\u00e9/r\u00e9sum\u00e9"


@pytest.mark.parametrize("key", samples.INVALID_KEYS, ids=range(len(samples.INVALID_KEYS)))
def test_a_key_that_breaks_a_rule_is_refused(key: str) -> None:
    """The error names the key, shortened, and is a ValueError."""
    with pytest.raises(InvalidKey) as raised:
        normalize_key(key)

    assert raised.value.key == key
    assert isinstance(raised.value, ValueError)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("key", [None, 1, b"bytes", ["a"]])
def test_a_key_that_is_no_text_is_refused(key: object) -> None:
    """A key of another type is InvalidKey too, and the type is named."""
    with pytest.raises(InvalidKey, match=type(key).__name__):
        normalize_key(key)  # type: ignore[arg-type] # what is tested is a wrong type
    with pytest.raises(InvalidKey, match=type(key).__name__):
        normalize_prefix(key)  # type: ignore[arg-type] # what is tested is a wrong type


def test_length_is_measured_in_bytes_after_normalisation() -> None:
    """1,024 bytes in NFC are taken, however many the decomposed form has; one more is not."""
    composed = "\u00e9" * 512

    assert len(composed.encode()) == MAX_KEY_BYTES
    assert normalize_key(unicodedata.normalize("NFD", composed)) == composed
    with pytest.raises(InvalidKey, match="1025 bytes"):
        normalize_key(composed + "x")


@given(samples.keys())
def test_normalising_again_changes_nothing(key: str) -> None:
    """What `normalize_key` gives is what it takes."""
    once = normalize_key(key)

    assert normalize_key(once) == once


@given(st.text())
def test_any_text_is_a_key_or_refused(text: str) -> None:
    """No text makes `normalize_key` raise anything but InvalidKey."""
    try:
        key = normalize_key(text)
    except InvalidKey:
        return

    assert 1 <= len(key.encode()) <= MAX_KEY_BYTES
    assert all(part not in ("", ".", "..") for part in key.split("/"))


@pytest.mark.parametrize("prefix", ["", "/", "a/", "a//", "../", "a", "."])
def test_a_prefix_may_be_what_no_key_is(prefix: str) -> None:
    """A prefix is the beginning of a text, and need not be a key."""
    assert normalize_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["a\0", "a\\", "\ud800", "k" * 1025, "\x85"])
def test_a_prefix_of_what_no_key_holds_is_refused(prefix: str) -> None:
    """A character that no key can have, or more bytes than one can have, is an error and not an empty list."""
    with pytest.raises(InvalidKey):
        normalize_prefix(prefix)


@pytest.mark.parametrize("seconds", [1, 3600, MAX_EXPIRY_SECONDS])
def test_a_lifetime_within_the_limits_is_taken(seconds: int) -> None:
    """From 1 second to 7 days."""
    assert check_expiry(seconds) == seconds


@pytest.mark.parametrize("seconds", [0, -1, MAX_EXPIRY_SECONDS + 1, 1.0, True, "60", None])
def test_a_lifetime_out_of_the_limits_is_refused(seconds: object) -> None:
    """Anything else than a whole number within the limits is InvalidRequest and is named."""
    with pytest.raises(InvalidRequest, match="expires_in="):
        check_expiry(seconds)


def test_a_range_that_is_a_slice_is_taken() -> None:
    """A range may be empty and may reach past the end."""
    check_range(0, None, 1)
    check_range(5, 5, 1)
    check_range(10**12, 10**15, 10**9)


@pytest.mark.parametrize(("start", "end", "chunk_size"), [(-1, None, 1), (2, 1, 1), (0, None, 0)])
def test_a_range_that_is_no_slice_is_refused(start: int, end: int | None, chunk_size: int) -> None:
    """A negative start, an end before it and an empty chunk are InvalidRequest."""
    with pytest.raises(InvalidRequest, match="expected"):
        check_range(start, end, chunk_size)


def test_names_of_metadata_are_made_lower_case() -> None:
    """Names come back in lower case, values as they are, and none is no metadata."""
    assert check_metadata({"Author": " Kālidāsa\n", "a-b_1": ""}) == {"author": " Kālidāsa\n", "a-b_1": ""}
    assert check_metadata(None) == {}


@pytest.mark.parametrize("name", ["", "a name", "नाम", "-a", "_a", "a:b", "a\n"])
def test_an_impossible_name_of_metadata_is_refused(name: str) -> None:
    """A name that cannot be part of a header's name is InvalidRequest."""
    with pytest.raises(InvalidRequest, match="metadata name"):
        check_metadata({name: "value"})


def test_metadata_is_measured_in_bytes() -> None:
    """Names and values have 2 KiB in UTF-8 together."""
    assert check_metadata({"n": "v" * 2047})

    with pytest.raises(InvalidRequest, match="2049 bytes"):
        check_metadata({"n": "v" * 2048})
    with pytest.raises(InvalidRequest, match="limit"):
        check_metadata({"n": "क" * 683})
