"""Has boto3 refuse an answer that was cut among its headers; imported where its client is made."""

from __future__ import annotations

from http.client import HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["require_whole_heads"]


def require_whole_heads(client: S3Client) -> None:
    """Let the client take an answer whose connection ends within its head for none, as any other that was cut."""
    # No event of botocore's sees more than the parsed headers. One that keeps these elsewhere works as it comes.
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    pools = getattr(session, "_pool_classes_by_scheme", {})
    for scheme, pool in pools.items():
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": _Answer})
        pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})


class _Answer(HTTPResponse):
    """An answer whose head ends with an empty line: `http.client` itself is content with the end of the connection."""

    def begin(self) -> None:
        file: Any = self.fp
        self.fp = _Lines(file)  # type: ignore[assignment] # read by lines alone, for as long as the head lasts
        try:
            super().begin()
        finally:
            if not self.isclosed():
                self.fp = file


class _Lines:
    """The lines of a head, behind each of which comes another one."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.close = file.close

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            raise RemoteDisconnected("the connection was closed within the head of an answer")
        return line
