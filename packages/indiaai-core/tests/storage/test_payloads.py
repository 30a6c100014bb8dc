"""What `read_all` makes of what was uploaded."""

from __future__ import annotations

from io import BufferedReader, BytesIO, StringIO
from typing import Any

import pytest

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import read_all
from indiaai_core.testing.storage.sources import FailingFile, Trickle, as_file, chunks_of, failing_stream, stream_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, BytesIO, lambda content: chunks_of(content, 3), Trickle])
async def test_every_kind_is_read(make: Any) -> None:
    """Buffers, files and streams give their bytes."""
    assert await read_all(make(b"0123456789")) == b"0123456789"


async def test_a_stream_is_read_in_its_order() -> None:
    """Chunks of any kind of buffer make up the content."""
    assert await read_all(stream_of(b"one ", bytearray(b"two "), b"", memoryview(b"three"))) == b"one two three"


async def test_a_file_that_cannot_seek_is_read_through_a_buffer() -> None:
    """What trickles may be wrapped as any raw file may."""
    assert await read_all(BufferedReader(Trickle(b"0123456789", most=3))) == b"0123456789"


async def test_a_view_is_read_as_it_shows() -> None:
    """A view that skips bytes gives those that it shows."""
    assert await read_all(memoryview(b"0123456789")[2:8:2]) == b"246"


@pytest.mark.parametrize("wrong", ["text", StringIO("text"), stream_of(b"a", "b"), None, 5, [b"a"]], ids=range(6))
async def test_anything_else_is_refused(wrong: Any) -> None:
    """What gives anything but bytes is InvalidRequest, which names its type."""
    with pytest.raises(InvalidRequest, match=r"file_data gives (str|NoneType|int|list)"):
        await read_all(wrong)


async def test_an_error_of_the_source_comes_out_as_it_is() -> None:
    """A source that fails is no fault of the store."""
    error = OSError(5, "the source failed")

    for source in (as_file(FailingFile(b"x", error)), failing_stream(b"x", error)):
        with pytest.raises(OSError, match="the source failed") as raised:
            await read_all(source)
        assert raised.value is error
