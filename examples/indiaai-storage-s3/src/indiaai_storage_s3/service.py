"""The storage service on AWS S3; imported by whoever makes one by hand, and by the platform."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import anyio
import anyio.to_thread

from indiaai_core import IndiaAIError, InvalidKey, InvalidRequest, ObjectInfo, ObjectNotFound, StorageError, StorageService
from indiaai_core.settings import load_settings
from indiaai_core.storage import (
    DEFAULT_CHUNK_SIZE,
    FileData,
    check_cache_control,
    check_content_disposition,
    check_content_type,
    check_expiry,
    check_metadata,
    check_range,
    normalize_key,
    normalize_prefix,
)
from indiaai_storage_s3.description import describe, headers
from indiaai_storage_s3.errors import NothingInRange, translated
from indiaai_storage_s3.parts import cut
from indiaai_storage_s3.settings import S3Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["S3StorageService"]

T = TypeVar("T")

PART_BYTES = 16 * 1024 * 1024
"""The length of a part. An object has 10,000 at most, so a stream may have 156 GiB."""


async def _to_its_end(running: Coroutine[Any, Any, T]) -> T:
    # anyio's cancellation waits behind the shield; asyncio's own (of `asyncio.timeout`, say) passes it, and the thread would
    # go on writing when the caller believes that nothing happens any more.
    job = asyncio.ensure_future(running)
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            job.exception()  # looked at, or else asyncio logs it as never seen
            raise
    return job.result()


class S3StorageService(StorageService):
    """Objects in one bucket of AWS S3. All tasks of an event loop may share an instance."""

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"stat", "list", "copy", "presign", "presign_upload", "if_absent", "metadata", "cache_control", "content_disposition"}
    )
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[S3Settings]] = S3Settings

    def __init__(self, settings: S3Settings | None = None) -> None:
        """Hold the settings, or read them from the environment; boto3 is neither loaded nor asked yet.

        Raises:
            InvalidSettings: Variables are absent or have a wrong value; all of them in one error.
        """
        self.settings = settings or load_settings(S3Settings)
        self._limiter = anyio.CapacityLimiter(self.settings.max_connections)
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    @property
    def client(self) -> S3Client:
        """boto3's client. Making it blocks for about half a second, unless `check` or a call has made it."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> S3Client:
        import boto3  # 0.2 s, which only a process that asks S3 for something spends
        from botocore.config import Config

        session = boto3.session.Session(profile_name=self.settings.profile or None, region_name=self.settings.region or None)
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=self.settings.max_connections,
        )
        return session.client("s3", endpoint_url=self.settings.endpoint_url or None, config=config)

    async def aclose(self) -> None:
        """Close the connections; a call after that opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _call(self, operation: str, key: str = "", **parameters: Any) -> Any:
        return await self._in_thread(partial(self._ask, operation, **parameters), key)

    def _ask(self, operation: str, **parameters: Any) -> Any:
        return getattr(self.client, operation)(Bucket=self.settings.bucket_name, **parameters)

    async def _in_thread(self, function: Callable[[], T], key: str = "", *, may_abandon: bool = False) -> T:
        def call() -> T:
            with translated(key):
                return function()

        running = anyio.to_thread.run_sync(call, limiter=self._limiter, abandon_on_cancel=may_abandon)
        return await (running if may_abandon else _to_its_end(running))

    async def upload(
        self,
        file_key: str,
        file_data: FileData,
        content_type: str = "application/octet-stream",
        *,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Store an object, whole or not at all; see `StorageService.upload`.

        What fits into one part goes in one request; the rest in parts, one after another, and S3 makes the object of them
        at the end.
        """
        key = normalize_key(file_key)
        described = headers(
            check_content_type(content_type),
            metadata=check_metadata(metadata),
            cache_control=check_cache_control(cache_control),
            content_disposition=check_content_disposition(content_disposition),
        )
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        async with aclosing(cut(file_data, size=PART_BYTES)) as parts:
            part = await anext(parts)
            if len(part) < PART_BYTES:
                await self._call("put_object", key, Key=key, Body=part, **described, **condition)
            else:
                await self._upload_parts(key, part, parts, described=described, condition=condition)
        return self._address(key)

    async def _upload_parts(
        self,
        key: str,
        part: bytearray | None,
        rest: AsyncIterator[bytearray],
        *,
        described: Mapping[str, Any],
        condition: Mapping[str, str],
    ) -> None:
        target = {"Key": key}
        sent: list[dict[str, Any]] = []

        def create() -> None:  # cancelled or not: what was begun is known, and can be ended
            target["UploadId"] = self._ask("create_multipart_upload", Key=key, **described)["UploadId"]

        try:
            await self._in_thread(create, key)
            while part is not None:
                sent.append(await self._send_part(key, part, **target, PartNumber=len(sent) + 1))
                part = await anext(rest, None)
            await self._call("complete_multipart_upload", key, **target, **condition, MultipartUpload={"Parts": sent})
        except BaseException:
            if "UploadId" in target:  # S3 keeps, and charges for, the parts of an upload that nobody ends
                with anyio.CancelScope(shield=True), suppress(IndiaAIError):
                    await self._call("abort_multipart_upload", key, **target)
            raise

    async def _send_part(self, key: str, part: bytearray, **target: Any) -> dict[str, Any]:
        answer = await self._call("upload_part", key, **target, Body=part)
        sums = {name: value for name, value in answer.items() if name == "ETag" or name.startswith("Checksum")}
        return {"PartNumber": target["PartNumber"], **sums}

    def _address(self, key: str) -> str:
        return f"s3://{self.settings.bucket_name}/{key}"

    async def download(self, file_key: str) -> bytes:
        """Return the whole object; boto3 compares it with the checksum that S3 has. See `StorageService.download`."""
        key = normalize_key(file_key)

        def read() -> bytes:
            content: bytes = self._ask("get_object", Key=key)["Body"].read()
            return content

        return await self._in_thread(read, key, may_abandon=True)

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes `[start, end)`; see `StorageService.stream`.

        It is one answer to one request, and so one version of the object. One that is cut raises `BackendUnavailable`.
        """
        check_range(start, end, chunk_size)
        key = normalize_key(file_key)
        if start == end:  # HTTP has no empty range
            await self._call("head_object", key, Key=key)
            return
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        try:
            answer = await self._call("get_object", key, Key=key, **wanted)
        except NothingInRange:
            return
        body = answer["Body"]
        try:
            if wanted and not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
                raise StorageError(f"{key!r}: the store answered another range than the one that was asked for.")
            while chunk := await self._in_thread(partial(body.read, chunk_size)):
                yield chunk
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(body.close)

    async def get_url(
        self,
        file_key: str,
        expires_in: int = 3600,
        *,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Sign a URL; it ends with the credentials that signed it, if those end first. See `StorageService.get_url`."""
        answered = {
            "ResponseCacheControl": check_cache_control(cache_control),
            "ResponseContentDisposition": check_content_disposition(content_disposition),
        }
        given = {name: value for name, value in answered.items() if value}
        return await self._sign("get_object", normalize_key(file_key), check_expiry(expires_in), **given)

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        """Sign a URL to PUT to; the `Content-Type` is under the signature. See `StorageService.get_upload_url`."""
        given = {"ContentType": check_content_type(content_type)}
        return await self._sign("put_object", normalize_key(file_key), check_expiry(expires_in), **given)

    async def _sign(self, operation: str, key: str, seconds: int, **parameters: str) -> str:
        target = {"Bucket": self.settings.bucket_name, "Key": key, **parameters}
        # No request, but credentials that have to be renewed are one.
        return await self._in_thread(
            lambda: self.client.generate_presigned_url(operation, Params=target, ExpiresIn=seconds), key
        )

    async def delete(self, file_key: str) -> bool:
        """Remove the object; see `StorageService.delete`.

        S3 does not tell whether it had one, so it is asked before: of two calls at once both may say True.
        """
        key = normalize_key(file_key)
        try:
            await self._call("head_object", key, Key=key)
        except ObjectNotFound:
            return False
        await self._call("delete_object", key, Key=key)
        return True

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what S3 knows about the object; see `StorageService.stat`."""
        key = normalize_key(file_key)
        answer = await self._call("head_object", key, Key=key)
        return describe(key, answer, size=answer["ContentLength"])

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Iterate over the objects, a thousand a request, without content types and metadata; see `StorageService.list`.

        What other tools stored under a key that no call could name (a folder's mark `a/`) is left out.
        """
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit={limit}: expected 0 or more.")
        left, page = limit, {"Prefix": normalize_prefix(prefix)}
        while left is None or left > 0:
            answer = await self._call("list_objects_v2", **page, MaxKeys=min(left or 1000, 1000))
            for entry in answer.get("Contents", ())[:left]:
                with suppress(InvalidKey):
                    yield describe(normalize_key(entry["Key"]), entry, size=entry["Size"])
                    left = left and left - 1
            if not answer["IsTruncated"]:
                return
            page["ContinuationToken"] = answer["NextContinuationToken"]

    async def copy(self, source_key: str, target_key: str) -> str:
        """Let S3 copy an object of up to 5 GiB; see `StorageService.copy`."""
        source, target = normalize_key(source_key), normalize_key(target_key)
        if source == target:  # which S3 refuses
            await self._call("head_object", source, Key=source)
        else:
            origin = {"Bucket": self.settings.bucket_name, "Key": source}
            await self._call("copy_object", source, Key=target, CopySource=origin)
        return self._address(target)

    async def check(self) -> None:
        """List one object: the cheapest question that tells a wrong bucket, region, credentials or rights apart.

        Raises:
            BackendUnavailable: S3 does not answer.
            ConfigurationError: It refuses.
        """
        await self._in_thread(partial(self._ask, "list_objects_v2", MaxKeys=1), may_abandon=True)
