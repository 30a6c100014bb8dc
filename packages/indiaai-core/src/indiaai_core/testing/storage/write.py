"""Promises about `upload`; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO, StringIO
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import MEBIBYTE, PROPERTY, difference, fresh_folder, listed, pattern, payloads
from indiaai_core.testing.storage.sources import FailingFile, Trickle, as_file, chunks_of, failing_stream, stream_of

__all__ = ["WritePromises"]


class WritePromises:
    """An object is stored whole or not at all."""

    @promise("S01", "What was uploaded as bytes is downloaded unchanged.")
    async def test_bytes_come_back(self, service: StorageService) -> None:
        content = bytes(range(256)) * 3

        await service.upload("bytes.bin", content)

        assert await service.download("bytes.bin") == content

    @promise("S02", "A bytearray and a memoryview are stored as bytes are.")
    async def test_every_kind_of_buffer_is_stored(self, service: StorageService) -> None:
        await service.upload("bytearray", bytearray(b"mutable"))
        await service.upload("memoryview", memoryview(b"0123456789")[2:8:2])

        assert await service.download("bytearray") == b"mutable"
        assert await service.download("memoryview") == b"246"

    @promise("S03", "A binary file is stored from where it stands to its end, and left open.")
    async def test_a_file_is_stored_from_where_it_stands(self, service: StorageService) -> None:
        file = BytesIO(b"skipped" + pattern(300_000))
        file.seek(7)

        await service.upload("file", file)

        wrong = difference(await service.download("file"), pattern(300_000))
        assert not wrong
        assert not file.closed

    @promise("S04", "An asynchronous stream is stored in its order, and its empty chunks add nothing.")
    async def test_a_stream_is_stored(self, service: StorageService) -> None:
        async def stream() -> AsyncIterator[bytes]:
            for chunk in (b"", b"one ", b"", b"two ", b"three", b""):
                yield chunk

        await service.upload("stream", stream())

        assert await service.download("stream") == b"one two three"

    @promise("S05", "An object may be empty.")
    async def test_an_object_may_be_empty(self, service: StorageService) -> None:
        await service.upload("empty/bytes", b"")
        await service.upload("empty/stream", chunks_of(b"", 1))

        assert await service.download("empty/bytes") == b""
        assert await service.download("empty/stream") == b""

    @promise("S06", "An upload replaces the whole object: nothing of a longer one remains.")
    async def test_an_upload_replaces_the_whole_object(self, service: StorageService) -> None:
        await service.upload("replaced", pattern(50_000))

        await service.upload("replaced", b"short")

        wrong = difference(await service.download("replaced"), b"short")
        assert not wrong

    @promise("S07", "An upload whose source fails raises what the source raised, and leaves the old object.")
    async def test_a_failing_source_leaves_the_old_object(self, service: StorageService) -> None:
        error = LookupError("the source failed")

        await service.upload("kept", b"old")
        for size in (0, 1, 2_000_000, 18 * MEBIBYTE):
            for key in ("kept", "never"):
                with pytest.raises(LookupError) as raised:
                    await service.upload(key, failing_stream(pattern(size, salt=1), error))
                assert raised.value is error, "what the source raised is to come out as it is, wrapped in nothing"

        wrong = difference(await service.download("kept"), b"old")
        assert not wrong
        assert not await service.exists("never")

    @promise("S08", "An upload that is cancelled leaves the old object.")
    async def test_a_cancelled_upload_leaves_the_old_object(self, service: StorageService) -> None:
        started = anyio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield pattern(2_000_000, salt=1)
            started.set()
            await anyio.sleep_forever()

        await service.upload("kept", b"old")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(service.upload, "kept", endless())
                await started.wait()
                group.cancel_scope.cancel()

        wrong = difference(await service.download("kept"), b"old")
        assert not wrong

    @promise("S09", "The address is the key's own and lasting: each upload gives the same, with no signature in it.")
    async def test_the_address_is_lasting(self, service: StorageService) -> None:
        first = await service.upload("address/one", b"1")
        again = await service.upload("address/one", b"2")
        other = await service.upload("address/two", b"1")

        assert first == again
        assert first != other
        assert first
        assert "?" not in first

    @promise("S10", "A content type that cannot travel in a header is refused with InvalidRequest, and nothing is stored.")
    @pytest.mark.parametrize("content_type", ["", "text/\nplain", "text/पाठ", "x" * 256])
    async def test_an_impossible_content_type_is_refused(self, service: StorageService, content_type: str) -> None:
        with pytest.raises(InvalidRequest):
            await service.upload("refused", b"x", content_type)

        assert not await service.exists("refused")

    @promise("S11", "A long stream comes back unchanged, whatever the size of its chunks.")
    async def test_a_long_stream_comes_back(self, service: StorageService) -> None:
        content = pattern(17 * 1024 * 1024 + 1)

        await service.upload("long", chunks_of(content, 999_983))

        wrong = difference(await service.download("long"), content)
        assert not wrong

    @promise("S12", "Any payload comes back unchanged, from bytes and from a stream.")
    @PROPERTY
    @given(content=payloads())
    async def test_any_payload_comes_back(self, service: StorageService, content: bytes) -> None:
        folder = fresh_folder()

        await service.upload(f"{folder}/bytes", content)
        await service.upload(f"{folder}/stream", chunks_of(content, 1000))

        assert await service.download(f"{folder}/bytes") == content
        assert await service.download(f"{folder}/stream") == content

    @promise("S79", "An object of any size comes back unchanged from a stream, whatever its chunks; no part shows.")
    @settings(PROPERTY, max_examples=3)
    @given(size=st.integers(0, 24 * MEBIBYTE), chunk_bytes=st.integers(60_000, 20 * MEBIBYTE))
    @example(size=1, chunk_bytes=65_536)
    @example(size=5 * MEBIBYTE - 1, chunk_bytes=5 * MEBIBYTE)
    @example(size=5 * MEBIBYTE, chunk_bytes=5 * MEBIBYTE)
    @example(size=5 * MEBIBYTE + 1, chunk_bytes=999_983)
    @example(size=16 * MEBIBYTE, chunk_bytes=4 * MEBIBYTE)
    @example(size=16 * MEBIBYTE + 1, chunk_bytes=16 * MEBIBYTE)
    @example(size=33 * MEBIBYTE, chunk_bytes=33 * MEBIBYTE)
    async def test_any_size_comes_back(self, service: StorageService, size: int, chunk_bytes: int) -> None:
        key, content = f"{fresh_folder()}/sized", pattern(size, salt=size % 251)

        await service.upload(key, chunks_of(content, chunk_bytes))

        found = await service.download(key)
        await service.delete(key)
        wrong = difference(found, content)
        assert not wrong

    @promise("S80", "A file that cannot seek, or gives less at a time than it is asked for, is stored to its end.")
    @pytest.mark.parametrize("size", [0, 200_000, 17 * MEBIBYTE + 1])
    async def test_a_file_that_trickles_is_stored(self, service: StorageService, size: int) -> None:
        await service.upload("trickled", as_file(Trickle(pattern(size))))

        wrong = difference(await service.download("trickled"), pattern(size))
        assert not wrong

    @promise("S81", "What a file raises while it is read comes out as it is, and the old object stays.")
    async def test_a_failing_file_leaves_the_old_object(self, service: StorageService) -> None:
        error = OSError(5, "the source failed")
        closed = BytesIO(b"x")
        closed.close()

        await service.upload("kept", b"old")
        for size in (0, 2_000_000, 18 * MEBIBYTE):
            with pytest.raises(OSError, match="the source failed") as raised:
                await service.upload("kept", as_file(FailingFile(pattern(size, salt=1), error)))
            assert raised.value is error, "a source that fails is no fault of the store"
        with pytest.raises(ValueError, match="closed"):
            await service.upload("kept", closed)

        assert await service.download("kept") == b"old"

    @promise("S82", "What gives anything but bytes is refused with InvalidRequest, and the old object stays.")
    async def test_what_is_no_bytes_is_refused(self, service: StorageService) -> None:
        wrong: list[Any] = [
            "text",
            StringIO("a file in text mode"),
            stream_of("text"),
            stream_of(b"bytes first", "text"),
            stream_of(pattern(2_000_000), 5),
            None,
            5,
            [b"bytes", b"in a list"],
            {"a": b"dict"},
        ]

        await service.upload("kept", b"old")
        for file_data in wrong:
            with pytest.raises(InvalidRequest):
                await service.upload("kept", file_data)

        assert await service.download("kept") == b"old"

    @promise("S83", "An upload that is cancelled leaves the old object or the new one, whole, and does no more afterwards.")
    async def test_a_cancelled_upload_is_over(self, service: StorageService) -> None:
        old, new = pattern(300_000), pattern(1_500_000, salt=1)

        for delay_seconds in (0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.03):
            for file_data in (new, chunks_of(new, 100_000)):
                await service.upload("cut", old)
                with anyio.move_on_after(delay_seconds):
                    await service.upload("cut", file_data)
                found = await service.download("cut")
                await service.upload("cut", b"afterwards")
                wrong = difference(found, old, new)
                assert not wrong
                assert await service.download("cut") == b"afterwards", "the cancelled upload went on"

        if "list" in service.capabilities:
            assert await listed(service) == ["cut"]
