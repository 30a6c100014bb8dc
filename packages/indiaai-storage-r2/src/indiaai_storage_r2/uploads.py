"""Sends one object, in one request or in parts, whole or not at all; imported by the service."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from indiaai_core import BackendUnavailable, ObjectExists, ObjectNotFound
from indiaai_core.storage import FileData
from indiaai_storage_r2.client import Connection, whole_head
from indiaai_storage_r2.digests import require_etag
from indiaai_storage_r2.errors import RequestRefused
from indiaai_storage_r2.lean.exchanges import MAX_WHOLE_BYTES
from indiaai_storage_r2.metadata import PART_SIZE, SHA256, UPLOAD_ID
from indiaai_storage_r2.multipart import Multipart, Part
from indiaai_storage_r2.payloads import MemoryPayload, Payload
from indiaai_storage_r2.sources import Source, one_payload, open_source

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Upload"]


class Upload:
    """One upload of one object."""

    def __init__(
        self, connection: Connection, key: str, *, headers: Mapping[str, str], metadata: Mapping[str, str], if_absent: bool
    ) -> None:
        """Hold what is known before the first byte.

        Args:
            connection: The client.
            key: The key, normalised.
            headers: Content type and whatever else is kept with the object, as the client takes it.
            metadata: The user's pairs, encoded.
            if_absent: Whether an object that is there stays.
        """
        self._connection = connection
        self._key = key
        self._nonce = os.urandom(16).hex()
        self._target: Any = {"Bucket": connection.settings.bucket_name, "Key": key}
        self._headers: Any = headers
        self._metadata = {**metadata, UPLOAD_ID: self._nonce}
        self._condition: Any = {"IfNoneMatch": "*"} if if_absent else {}
        self._etag = ""
        # Whether this store's ETags were seen to be MD5s: then they tell of a part's bytes, and no header need.
        self._has_md5_etags = False

    async def send(self, file_data: FileData) -> None:
        """Send all of it.

        Raises:
            ObjectExists: There is an object, and it was to stay.
            InvalidRequest: The data are not bytes.
            StorageError: The file was changed meanwhile, or has too many parts.
            BackendUnavailable: The store does not answer.
        """
        size = self._connection.settings.part_size_bytes
        whole = one_payload(file_data, part_size=size)
        if whole is not None:
            await self._complete(self._put(whole))
            return
        source = await open_source(file_data, part_size=size, run=self._connection.run)
        async with aclosing(source.payloads) as payloads:
            first = [await anext(payloads)]
            await self._complete(self._put(first[0]) if first[0].is_last else self._put_parts(first, source=source))
        if source.file is not None:
            await self._connection.run(source.file.finish)

    async def _complete(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except (RequestRefused, ObjectNotFound) as error:
            # By its status: the words that tell one refusal from another may have been cut, or changed on the way over http.
            status = error.status if isinstance(error, RequestRefused) else 404
            if status not in (404, 412):
                raise
            await self._resolve(error, is_taken=status == 412)

    async def _put(self, payload: Payload) -> None:
        question = partial(self._question, payload)
        if isinstance(payload, MemoryPayload) and len(payload) <= MAX_WHOLE_BYTES:
            await self._connection.converse(question, self._accept, key=self._key, stop=payload.stop)
            return

        def put(client: S3Client) -> None:
            _, parameters = question()
            with payload.sending():
                answer = client.put_object(**parameters)
            self._accept(answer)

        await self._connection.exchange(put, key=self._key, stop=payload.stop)

    def _question(self, payload: Payload) -> tuple[str, dict[str, Any]]:
        md5, sha256 = payload.digests()
        self._etag = md5.hex()
        payload.seek(0)
        return "put_object", {
            **self._target,
            **self._headers,
            **self._condition,
            "Metadata": {**self._metadata, SHA256: sha256.hex()},
            "Body": payload,
            "ContentMD5": payload.content_md5(),
        }

    def _accept(self, answer: Any) -> None:
        require_etag(answer["ETag"], expected=self._etag)

    async def _put_parts(self, first: list[Payload], *, source: Source) -> None:
        if self._condition:  # the store decides at the end: this saves sending all of it in vain
            await self._require_absent()
        multipart = Multipart(self._connection, self._key)

        async def require_unchanged(_: object) -> None:
            if source.file is not None:
                await self._connection.run(source.file.require_unchanged)

        try:
            await multipart.store(
                _chain(first, rest=source.payloads),
                send=self._put_part,
                description={**self._headers, "Metadata": {**self._metadata, PART_SIZE: str(source.part_size)}},
                condition=self._condition,
                before_end=require_unchanged,
            )
        finally:
            self._etag = multipart.etag

    async def _require_absent(self) -> None:
        with suppress(ObjectNotFound):
            await self._look()
            raise ObjectExists(self._key)

    async def _look(self) -> Any:
        return await self._connection.exchange(lambda client: whole_head(client.head_object(**self._target)), key=self._key)

    async def _put_part(self, upload: Multipart, number: int, payload: Payload) -> Part:
        body: Any = payload

        def put(client: S3Client) -> Part:
            check: Any = {} if self._has_md5_etags else {"ContentMD5": payload.content_md5()}
            with payload.sending():
                answer = client.upload_part(**self._target, **check, UploadId=upload.id, PartNumber=number, Body=body)
            part = Part(answer["ETag"], payload.md5())
            require_etag(part.etag, expected=part.md5.hex())
            self._has_md5_etags = part.etag.strip('"') == part.md5.hex()
            if not check and not self._has_md5_etags:  # nothing has compared its bytes: the header does, next time
                raise BackendUnavailable("The store did not tell which bytes it has of a part. Upload the object again.")
            return part

        return await self._connection.exchange(put, key=self._key, stop=payload.stop)

    async def _resolve(self, refusal: RequestRefused | ObjectNotFound, *, is_taken: bool) -> None:
        # A first attempt may have stored the object and lost the answer: the second is then refused because of ours.
        found = None
        with suppress(ObjectNotFound):
            found = await self._look()
        if found and found["Metadata"].get(UPLOAD_ID) == self._nonce:
            require_etag(found["ETag"], expected=self._etag)
            return
        if is_taken or (self._condition and found):
            raise ObjectExists(self._key) from refusal
        raise BackendUnavailable(f"The store was restarted, or has given up {self._key!r}. Upload it again.") from refusal


async def _chain(first: list[Payload], *, rest: AsyncGenerator[Payload, None]) -> AsyncGenerator[Payload, None]:
    # Nothing here holds a body while the next one is made: that would be one more in memory.
    yield first.pop()
    with suppress(StopAsyncIteration):
        while True:
            yield await anext(rest)
