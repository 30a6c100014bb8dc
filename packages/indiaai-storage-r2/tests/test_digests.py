"""The digests by which damage is noticed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core import BackendUnavailable
from indiaai_storage_r2.digests import PartsDigest, combine, expected_digest, require_etag

MD5, PARTS = "0" * 32, f"{'0' * 32}-2"


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9))
def test_an_etag_of_parts_does_not_depend_on_the_blocks(blocks: list[bytes], part_size: int) -> None:
    """However the bytes arrive, the digest is of the parts they were sent in."""
    content = b"".join(blocks)
    digest = PartsDigest(part_size)

    for block in blocks:
        digest.update(block)

    parts = [content[start : start + part_size] for start in range(0, len(content), part_size)]
    assert digest.hexdigest() == combine([hashlib.md5(part, usedforsecurity=False).digest() for part in parts])


@pytest.mark.parametrize(
    "metadata", [{}, {"indiaai-part-size": "0"}, {"indiaai-part-size": "many"}, {"author": "Kalidasa"}], ids=str
)
def test_what_another_tool_stored_is_not_compared(metadata: dict[str, str]) -> None:
    """Without a digest of ours that makes sense there is nothing to compare with."""
    assert expected_digest(PARTS, metadata) is None


def test_an_etag_of_another_form_says_nothing() -> None:
    """An ETag that is no MD5, or one of parts where none were sent, is some other store's."""
    for etag in ('"abc"', f'"{PARTS}"', '"W/"'):
        require_etag(etag, expected="1" * 32)

    with pytest.raises(BackendUnavailable):
        require_etag(f'"{MD5}"', expected="1" * 32)
