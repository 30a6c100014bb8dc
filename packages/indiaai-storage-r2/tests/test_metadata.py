"""How metadata goes into headers and comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_storage_r2.metadata import decode_metadata, encode_metadata


@given(st.dictionaries(st.from_regex(r"(indiaai-|user-)?[a-z0-9][a-z0-9-]{0,9}", fullmatch=True), st.text(), max_size=4))
def test_any_pairs_come_back(metadata: dict[str, str]) -> None:
    """Whatever the values hold, they are visible ASCII on the wire and the same after it, and no name is ours."""
    headers = encode_metadata(metadata)

    assert decode_metadata({name.title(): value for name, value in headers.items()}) == metadata
    assert all(value.isascii() and value.isprintable() and value == value.strip() and value for value in headers.values())
    assert not {"indiaai-sha256", "indiaai-upload", "indiaai-part-size"} & set(headers)


@pytest.mark.parametrize("value", ["plain", "100%", "a%20b", "a=b?", "two words"])
def test_plain_values_travel_as_they_are(value: str) -> None:
    """What a header can carry is readable to every other tool."""
    assert encode_metadata({"name": value}) == {"name": value}


@pytest.mark.parametrize("value", ["UTF-8''%ff", "UTF-8''%e0%a4"])
def test_what_another_tool_has_escaped_is_given_as_it_is(value: str) -> None:
    """A value that looks like ours, and is no UTF-8, is no error."""
    assert decode_metadata({"name": value}) == {"name": value}


def test_our_own_pairs_are_not_the_user_s() -> None:
    """What the service keeps for itself is not shown, and what another tool has set is."""
    headers = {"indiaai-sha256": "0", "indiaai-upload": "1", "Author": "Kalidasa"}

    assert decode_metadata(headers) == {"author": "Kalidasa"}
