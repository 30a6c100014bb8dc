"""What uploads are fed with, good and bad; imported by the promises alone."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any, BinaryIO, cast

__all__ = ["FailingFile", "Trickle", "as_file", "chunks_of", "failing_stream", "stream_of"]


class Trickle(io.RawIOBase):
    """A binary file that cannot seek and gives less at a time than it is asked for, as a pipe or a request's body does."""

    def __init__(self, content: bytes, *, most: int = 50_021) -> None:
        """Give content.

        Args:
            content: What it gives.
            most: The most bytes at a time.
        """
        self._content = io.BytesIO(content)
        self._most = most

    def readable(self) -> bool:
        """Return that it can be read from."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the beginning of a buffer."""
        view = memoryview(buffer)[: self._most]
        return self._content.readinto(view)


class FailingFile(Trickle):
    """A binary file that raises when it is asked for more than its content."""

    def __init__(self, content: bytes, error: Exception) -> None:
        """Give content and then raise."""
        super().__init__(content, most=len(content))
        self._left, self._error = len(content), error

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or raise."""
        self._left -= len(buffer)
        if self._left < 0:
            raise self._error
        return super().readinto(buffer)


def as_file(file: io.IOBase) -> BinaryIO:
    """Return a file as `upload` takes it: what it needs is `read`."""
    return cast(BinaryIO, file)


async def chunks_of(content: bytes, size: int) -> AsyncIterator[bytes]:
    """Give content as a stream of chunks of `size` bytes."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def stream_of(*chunks: Any) -> AsyncIterator[Any]:
    """Give these chunks, whatever they are."""
    for chunk in chunks:
        yield chunk


async def failing_stream(content: bytes, error: Exception) -> AsyncIterator[bytes]:
    """Give content, and then raise."""
    yield content
    raise error
