"""Sends one object, in one request or in parts, whole or not at all; imported by the service."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio

from indiaai_core import BackendUnavailable, ObjectExists, ObjectNotFound, StorageError
from indiaai_core.storage import FileData
from indiaai_storage_r2.client import Connection, settle
from indiaai_storage_r2.digests import PartsDigest, require_etag
from indiaai_storage_r2.errors import RequestRefused, client_errors
from indiaai_storage_r2.metadata import PART_SIZE, SHA256, UPLOAD_ID
from indiaai_storage_r2.payloads import Payload, split

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Upload"]

_MAX_PARTS = 10_000
_ABORT_SECONDS = 10.0
_ABORT_ATTEMPTS = 3


def _let_it_end() -> None:
    """Stop nothing: whether the parts become an object is the store's to say, and the caller is told after it did."""


class Upload:
    """One upload of one object."""

    def __init__(
        self, connection: Connection, key: str, *, content_type: str, metadata: Mapping[str, str], if_absent: bool
    ) -> None:
        """Hold what is known before the first byte.

        Args:
            connection: The client.
            key: The key, normalised.
            content_type: The media type.
            metadata: The user's pairs, encoded.
            if_absent: Whether an object that is there stays.
        """
        self._connection = connection
        self._key = key
        self._nonce = uuid4().hex
        self._target: Any = {"Bucket": connection.settings.bucket_name, "Key": key}
        self._description: Any = {"ContentType": content_type}
        self._metadata = {**metadata, UPLOAD_ID: self._nonce}
        self._condition: Any = {"IfNoneMatch": "*"} if if_absent else {}
        self._upload_id = ""
        self._etag = ""
        # Cancelled while the upload is created, the call goes on in its thread: the abort waits for it there.
        self._lock = threading.Lock()

    async def send(self, file_data: FileData) -> None:
        """Send all of it.

        Raises:
            ObjectExists: There is an object, and it was to stay.
            InvalidRequest: The data are not bytes.
            BackendUnavailable: The store does not answer.
        """
        size = self._connection.settings.part_size_bytes
        async with aclosing(split(file_data, size=size, run=self._connection.run)) as payloads:
            head = [await anext(payloads)]
            with suppress(StopAsyncIteration):
                head.append(await anext(payloads))
            try:
                if len(head) == 1:
                    await self._put(head[0])
                else:
                    await self._put_parts(head, rest=payloads)
            except RequestRefused as error:
                if error.code not in ("PreconditionFailed", "NoSuchUpload"):
                    raise
                await self._resolve(error)

    async def _put(self, payload: Payload) -> None:
        def put(client: S3Client) -> None:
            digest = hashlib.sha256(payload.getbuffer()).hexdigest()
            self._etag = payload.md5.hex()
            answer = client.put_object(
                **self._target,
                **self._description,
                **self._condition,
                Metadata={**self._metadata, SHA256: digest},
                Body=payload.begin(),
                ContentMD5=payload.content_md5,
            )
            require_etag(answer["ETag"], expected=self._etag)

        await self._connection.exchange(put, key=self._key, stop=payload.stop)

    async def _put_parts(self, head: list[Payload], *, rest: AsyncIterator[Payload]) -> None:
        if self._condition:  # the store decides at the end: this saves sending all of it in vain
            await self._require_absent()
        try:
            await self._connection.call(self._create, key=self._key)
            etags, digests = await self._send_parts(head, rest=rest)
            await self._connection.call(partial(self._complete, etags=etags, digests=digests), key=self._key, stop=_let_it_end)
        except BaseException:
            await self._abort()
            raise

    async def _require_absent(self) -> None:
        with suppress(ObjectNotFound):
            await self._connection.exchange(lambda client: client.head_object(**self._target), key=self._key)
            raise ObjectExists(self._key)

    def _create(self, client: S3Client) -> None:
        with self._lock:
            metadata = {**self._metadata, PART_SIZE: str(self._connection.settings.part_size_bytes)}
            answer = client.create_multipart_upload(**self._target, **self._description, Metadata=metadata)
            self._upload_id = answer["UploadId"]

    async def _send_parts(self, head: list[Payload], *, rest: AsyncIterator[Payload]) -> tuple[dict[int, str], list[bytes]]:
        etags: dict[int, str] = {}
        digests: list[bytes] = []
        # So many parts, and one that waits for its turn, are in memory.
        slots = anyio.Semaphore(self._connection.settings.parallel_parts)

        async def send(number: int, payload: Payload) -> None:
            etags[number] = await self._put_part(number, payload)
            digests[number - 1] = payload.md5
            slots.release()

        async def start(payload: Payload) -> None:
            if len(digests) == _MAX_PARTS:
                raise StorageError(f"{self._key!r} has more than {_MAX_PARTS} parts. Raise R2_PART_SIZE_MIB.")
            await slots.acquire()
            digests.append(b"")
            tasks.start_soon(send, len(digests), payload)

        try:
            async with anyio.create_task_group() as tasks:
                while head:  # emptied, so that nothing holds a part that was sent
                    await start(head.pop(0))
                async for payload in rest:
                    await start(payload)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        return etags, digests

    async def _put_part(self, number: int, payload: Payload) -> str:
        def put(client: S3Client) -> str:
            answer = client.upload_part(
                **self._target,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=payload.begin(),
                ContentMD5=payload.content_md5,
            )
            require_etag(answer["ETag"], expected=payload.md5.hex())
            return answer["ETag"]

        return await self._connection.exchange(put, key=self._key, stop=payload.stop)

    def _complete(self, client: S3Client, *, etags: Mapping[int, str], digests: list[bytes]) -> None:
        parts: Any = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        self._etag = PartsDigest.combine(digests)
        answer = client.complete_multipart_upload(
            **self._target, **self._condition, UploadId=self._upload_id, MultipartUpload={"Parts": parts}
        )
        require_etag(answer["ETag"], expected=self._etag)

    async def _resolve(self, refusal: RequestRefused) -> None:
        # A first attempt may have stored the object and lost the answer: the second is then refused because of ours.
        found = None
        with suppress(ObjectNotFound):
            found = await self._connection.exchange(lambda client: client.head_object(**self._target), key=self._key)
        if found and found["Metadata"].get(UPLOAD_ID) == self._nonce:
            require_etag(found["ETag"], expected=self._etag)
            return
        if refusal.code == "PreconditionFailed" or (self._condition and found):
            raise ObjectExists(self._key) from refusal
        raise BackendUnavailable(f"Somebody else has ended the upload of {self._key!r}. Upload it again.") from refusal

    async def _abort(self) -> None:
        # The call is the executor's: a second cancellation ends the waiting, and not the abort.
        await settle(self._connection.release(self._abort_now), seconds=_ABORT_SECONDS)

    def _abort_now(self) -> None:
        with self._lock:
            for _ in range(_ABORT_ATTEMPTS if self._upload_id else 0):
                with suppress(*client_errors()):
                    self._connection.client().abort_multipart_upload(**self._target, UploadId=self._upload_id)
                    return
