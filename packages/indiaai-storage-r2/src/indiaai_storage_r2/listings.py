"""Lists a bucket page by page, in the order of our keys; imported by the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from indiaai_core import BackendUnavailable, InvalidKey
from indiaai_core.storage import normalize_key
from indiaai_storage_r2.client import Connection

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["list_entries"]

_PAGE_SIZE = 1000


async def list_entries(connection: Connection, prefix: str, *, limit: int | None) -> AsyncGenerator[tuple[str, Any], None]:
    """Give keys, normalised, with what the store tells about them, each once and in the order of their UTF-8 bytes.

    R2 takes composed and decomposed forms for one key, and lists the form that another tool used, where that one belongs:
    such an entry waits until its composed form has its turn. Keys that no call could name are left out.

    Args:
        connection: The client.
        prefix: The string that keys begin with.
        limit: How many are likely to be taken: a page has no more.
    """
    waiting = _Waiting()
    async with aclosing(_entries(connection, prefix, page_size=min(_PAGE_SIZE, limit or _PAGE_SIZE))) as entries:
        async for entry in entries:
            listed: str = entry["Key"]
            with suppress(InvalidKey):
                waiting.add(normalize_key(listed), entry)
            for found in waiting.until(listed):
                yield found
    for found in waiting.until(None):
        yield found


async def _entries(connection: Connection, prefix: str, *, page_size: int) -> AsyncGenerator[Any, None]:
    parameters: Any = {"Bucket": connection.settings.bucket_name, "Prefix": prefix, "MaxKeys": page_size}
    while True:
        page = await connection.call(partial(_whole_page, parameters=parameters))
        for entry in page.get("Contents", ()):
            yield entry
        if not page.get("IsTruncated"):
            return
        if page.get("NextContinuationToken") in (None, "", parameters.get("ContinuationToken")):
            raise BackendUnavailable(f"{connection.settings.endpoint} does not tell how its list goes on. List again.")
        parameters["ContinuationToken"] = page["NextContinuationToken"]


def _whole_page(client: S3Client, *, parameters: Any) -> Any:
    # A page of somebody between us and the store's looks to boto3 like a list of nothing.
    page: Any = client.list_objects_v2(**parameters)
    _ = page["IsTruncated"], [(it["Key"], it["Size"], it["ETag"], it["LastModified"]) for it in page.get("Contents", ())]
    return page


class _Waiting:
    """Entries whose turn comes behind that of the one that was listed last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._entries: dict[str, Any] = {}
        self._keys: list[tuple[bytes, str]] = []

    def add(self, key: str, entry: Any) -> None:
        """Take an entry; of one key, the one that comes last."""
        if key not in self._entries:
            heappush(self._keys, (key.encode(), key))
        self._entries[key] = entry

    def until(self, listed: str | None) -> Iterator[tuple[str, Any]]:
        """Give those up to a key that was listed, or all."""
        reached = None if listed is None else listed.encode(errors="surrogatepass")
        while self._keys and (reached is None or self._keys[0][0] <= reached):
            _, key = heappop(self._keys)
            yield key, self._entries.pop(key)
