"""One object that is put together from parts at the store, or not at all; imported by uploads and copies."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import anyio

from indiaai_core import IndiaAIError, StorageError
from indiaai_storage_r2.client import Connection, says_deleted
from indiaai_storage_r2.digests import combine, require_etag
from indiaai_storage_r2.sources import MAX_PARTS

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Multipart", "Part"]

T = TypeVar("T")

_ABORT_SECONDS = 10.0
_ABORT_WAITS = (0.0, 0.2, 1.0)


def _let_it_end() -> None:
    """Stop nothing: whether the parts become an object is the store's to say, and the caller is told after it did."""


class Part(NamedTuple):
    """What is known of a part that the store has; no MD5 where the store does not tell it."""

    etag: str
    md5: bytes


Send = Callable[["Multipart", int, T], Awaitable[Part]]


class Multipart:
    """One multipart upload. Whatever happens, it ends as an object or without a trace.

    Attributes:
        id: What the store calls it, once it was created.
        etag: The object's, once all parts are there; empty where their MD5s are not known.
    """

    def __init__(self, connection: Connection, key: str) -> None:
        """Hold what the object is called; nothing is asked for yet."""
        self._connection = connection
        self._key = key
        self._target: Any = {"Bucket": connection.settings.bucket_name, "Key": key}
        self.id = self.etag = ""
        # Cancelled while the upload is created, the call goes on in its thread: the abort waits for it there.
        self._lock = threading.Lock()

    async def store(
        self,
        items: AsyncIterator[T],
        *,
        send: Send[T],
        description: Mapping[str, Any],
        before_end: Callable[[Sequence[Part]], Awaitable[None]],
        condition: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the object.

        Args:
            items: What the parts are made of. An item is asked for when it can be sent, so that few are in memory.
            send: Sends one to this upload, by its number, which starts at 1.
            description: The object's headers, as the client takes them.
            before_end: Called when the store has all parts; what it raises ends the upload.
            condition: The header on which the store decides at the end.
        """
        try:
            await self._connection.exchange(partial(self._create, description=description), key=self._key)
            parts = await self._send_all(items, send=send)
            await before_end(parts)
            complete = partial(self._complete, parts=parts, condition=condition or {})
            await self._connection.exchange(complete, key=self._key, stop=_let_it_end)
        except BaseException:
            # The call is the thread's: a second cancellation ends the waiting, and not the abort.
            await self._connection.finish(self._abort, seconds=_ABORT_SECONDS)
            raise

    def _create(self, client: S3Client, *, description: Mapping[str, Any]) -> None:
        with self._lock:
            self.id = client.create_multipart_upload(**self._target, **description)["UploadId"]

    async def _send_all(
        self, items: AsyncIterator[T], *, send: Callable[[Multipart, int, T], Awaitable[Part]]
    ) -> Sequence[Part]:
        parts: dict[int, Part] = {}
        slots = anyio.Semaphore(self._connection.settings.parallel_parts)

        async def put(number: int, item: T) -> None:
            parts[number] = await send(self, number, item)
            slots.release()

        try:
            async with anyio.create_task_group() as tasks:
                await slots.acquire()
                with suppress(StopAsyncIteration):
                    for number in count(1):
                        tasks.start_soon(put, number, await anext(items))
                        if number > MAX_PARTS:
                            raise StorageError(f"{self._key!r} has more than {MAX_PARTS} parts. Raise R2_PART_SIZE_MIB.")
                        await slots.acquire()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        return [parts[number] for number in sorted(parts)]

    def _complete(self, client: S3Client, *, parts: Sequence[Part], condition: Mapping[str, Any]) -> None:
        listed: Any = [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(parts, 1)]
        self.etag = combine([part.md5 for part in parts])
        answer = client.complete_multipart_upload(
            **self._target, **condition, UploadId=self.id, MultipartUpload={"Parts": listed}
        )
        require_etag(answer["ETag"], expected=self.etag)

    def _abort(self) -> None:
        with self._lock:
            target: Any = {**self._target, "UploadId": self.id}
            for wait in _ABORT_WAITS if self.id else ():
                time.sleep(wait)
                with suppress(IndiaAIError):
                    if says_deleted(self._connection.ask(lambda client: client.abort_multipart_upload(**target))):
                        return
