"""Lets the store copy an object, of any size, and compares the copy as far as the store tells; imported by the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from indiaai_core import BackendUnavailable
from indiaai_storage_r2.client import Connection, whole_head
from indiaai_storage_r2.digests import combine, part_md5, require_etag
from indiaai_storage_r2.errors import RequestRefused
from indiaai_storage_r2.metadata import PART_SIZE
from indiaai_storage_r2.multipart import Multipart, Part
from indiaai_storage_r2.sources import large_enough

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Copy"]

_MIB = 1024 * 1024
_MAX_WHOLE_BYTES = 5 * 1024 * _MIB
_PART_BYTES = 128 * _MIB  # so that each is answered long before a client gives up waiting
_HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")


class Copy:
    """One copy of one object: in one request up to 5 GiB, as S3 allows it, and in parts beyond."""

    def __init__(self, connection: Connection, source_key: str, *, target_key: str) -> None:
        """Hold the keys, normalised and different."""
        bucket = connection.settings.bucket_name
        self._connection = connection
        self._key = source_key
        self._source: Any = {"Bucket": bucket, "Key": source_key}
        self._target: Any = {"Bucket": bucket, "Key": target_key}

    async def run(self, head: Any) -> None:
        """Copy the version of the object that `head`, the store's answer to HEAD, is about.

        Raises:
            ObjectNotFound: There is no such object any more.
            BackendUnavailable: The store does not answer, or the object was replaced meanwhile. The target is what it was.
        """
        if head["ContentLength"] > _MAX_WHOLE_BYTES:
            await self._copy_parts(await self._look())
        else:
            await self._copy_whole(head["ETag"])

    async def _copy_whole(self, etag: str) -> None:
        def copy(client: S3Client) -> None:
            answer = client.copy_object(**self._target, CopySource=self._source, CopySourceIfMatch=etag)
            require_etag(answer["CopyObjectResult"]["ETag"], expected=etag.strip('"'))

        try:
            await self._connection.call(copy, key=self._key)
        except RequestRefused as error:
            if error.status != 412:
                raise
            raise self._replaced() from error

    async def _copy_parts(self, head: Any) -> None:
        size, metadata, etag = head["ContentLength"], head["Metadata"], head["ETag"].strip('"')
        own = metadata.get(PART_SIZE, "")
        has_own = own.isdecimal() and etag.endswith(f"-{-(-size // max(int(own), 1))}")
        # In the parts in which it was sent, the copy has the same ETag, and each of its bytes is compared by that.
        part_size = int(own) if has_own else large_enough(_PART_BYTES, total=size)

        async def require_same(parts: Sequence[Part]) -> None:
            # R2 takes no conditions on the source of a part: what came between two parts shows here.
            now = await self._look()
            if (now["ETag"], now["LastModified"]) != (head["ETag"], head["LastModified"]):
                raise self._replaced()
            if has_own:
                require_etag(combine([part.md5 for part in parts]), expected=etag)

        headers = {name: head[name] for name in _HEADERS if head.get(name)}
        await Multipart(self._connection, self._target["Key"]).store(
            _ranges(size, part_size=part_size),
            send=self._copy_part,
            description={**headers, "Metadata": {**metadata, PART_SIZE: str(part_size)}},
            before_end=require_same,
        )

    async def _copy_part(self, upload: Multipart, number: int, wanted: str) -> Part:
        def copy(client: S3Client) -> Part:
            answer = client.upload_part_copy(
                **self._target, UploadId=upload.id, PartNumber=number, CopySource=self._source, CopySourceRange=wanted
            )
            etag = answer["CopyPartResult"]["ETag"]
            return Part(etag, part_md5(etag))

        return await self._connection.call(copy, key=self._key)

    async def _look(self) -> Any:
        return await self._connection.call(lambda client: whole_head(client.head_object(**self._source)), key=self._key)

    def _replaced(self) -> BackendUnavailable:
        return BackendUnavailable(f"{self._key!r} was replaced while it was copied. Copy it again.")


async def _ranges(size: int, *, part_size: int) -> AsyncGenerator[str, None]:
    for start in range(0, size, part_size):
        yield f"bytes={start}-{min(start + part_size, size) - 1}"
