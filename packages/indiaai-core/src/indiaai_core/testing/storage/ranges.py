"""Promises about `stream` with a range; part of `StorageConformance`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import MEBIBYTE, PROPERTY, collect, difference, fresh_folder, pattern

__all__ = ["RangePromises"]


class RangePromises:
    """A range is a slice."""

    @promise("S19", "A range gives the bytes from `start` up to and without `end`.")
    async def test_a_range_gives_its_bytes(self, service: StorageService) -> None:
        await service.upload("digits", b"0123456789")

        assert await collect(service.stream("digits", start=2, end=5)) == b"234"
        assert await collect(service.stream("digits", end=4)) == b"0123"
        assert await collect(service.stream("digits", start=7)) == b"789"
        assert await collect(service.stream("digits", start=9, end=10)) == b"9"

    @promise("S20", "A range past the end gives what is there, and an empty one nothing.")
    async def test_a_range_past_the_end_gives_what_is_there(self, service: StorageService) -> None:
        await service.upload("digits", b"0123456789")
        await service.upload("empty", b"")

        assert await collect(service.stream("digits", start=8, end=100)) == b"89"
        assert await collect(service.stream("digits", start=10)) == b""
        assert await collect(service.stream("digits", start=50, end=60)) == b""
        assert await collect(service.stream("digits", start=5, end=5)) == b""
        assert await collect(service.stream("digits", end=0)) == b""
        assert await collect(service.stream("empty", start=0, end=1)) == b""

    @promise("S21", "A range or a chunk size that makes no sense is refused with InvalidRequest.")
    @pytest.mark.parametrize(
        ("start", "end", "chunk_size"), [(-1, None, 1), (5, 4, 1), (0, -1, 1), (0, None, 0), (0, None, -1)]
    )
    async def test_a_senseless_range_is_refused(
        self, service: StorageService, start: int, end: int | None, chunk_size: int
    ) -> None:
        await service.upload("digits", b"0123456789")

        with pytest.raises(InvalidRequest):
            await collect(service.stream("digits", start=start, end=end, chunk_size=chunk_size))

    @promise("S22", "Any range of any payload is what a slice of it is.")
    @PROPERTY
    @given(
        content=st.binary(min_size=20, max_size=200),
        start=st.integers(0, 30),
        length=st.none() | st.integers(0, 250),
        chunk_size=st.integers(1, 20),
    )
    async def test_any_range_is_a_slice(
        self, service: StorageService, content: bytes, start: int, length: int | None, chunk_size: int
    ) -> None:
        key = f"{fresh_folder()}/sliced"
        end = None if length is None else start + length
        await service.upload(key, content)

        found = await collect(service.stream(key, start=start, end=end, chunk_size=chunk_size))

        assert found == content[start:end]

    @promise("S85", "A range anywhere in a long object is a slice of it, also across the limits of chunks and parts.")
    async def test_a_range_of_a_long_object_is_a_slice(self, service: StorageService) -> None:
        content = pattern(17 * MEBIBYTE + 7)
        await service.upload("long", content)

        for place in (300_001, 5 * MEBIBYTE, 8 * MEBIBYTE, 16 * MEBIBYTE, len(content)):
            for start, end in ((place - 2, place + 2), (place - 300_001, place - 1), (place - 1, place + 700_003)):
                found = await collect(service.stream("long", start=start, end=end))
                wrong = difference(found, content[start:end])
                assert not wrong, f"bytes {start} to {end} of {len(content)}: {wrong}"
