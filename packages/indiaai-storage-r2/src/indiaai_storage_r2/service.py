"""The storage service on Cloudflare R2; found through the entry point `indiaai.storage: r2`."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    Fault,
    IndiaAIError,
    InvalidRequest,
    ObjectInfo,
    ObjectNotFound,
    StorageError,
    StorageService,
)
from indiaai_core.environment import Environment
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
from indiaai_storage_r2.client import Connection, Question, says_deleted, whole_head
from indiaai_storage_r2.copies import Copy
from indiaai_storage_r2.downloads import DamagedObject, Reader
from indiaai_storage_r2.errors import RequestRefused, clock_skew, describe_skew
from indiaai_storage_r2.listings import list_entries
from indiaai_storage_r2.metadata import decode_metadata, encode_metadata
from indiaai_storage_r2.retries import RetryPolicy
from indiaai_storage_r2.settings import R2Settings
from indiaai_storage_r2.uploads import Upload

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["R2StorageService"]

_SMALL_CHUNKS_BYTES, _MIN_BLOCK_BYTES, _MAX_BLOCK_BYTES = 256 * 1024, 64 * 1024, 4 * 1024 * 1024
_DOWNLOAD_ATTEMPTS = 3
_CHECK_RETRIES = RetryPolicy(deadline_seconds=1.0)  # a health check has two seconds
_MAX_SKEW_SECONDS = 60.0
_NO_SUCH_KEY = "indiaai-check/no-such-object"


class R2StorageService(StorageService):
    """Objects in one bucket of Cloudflare R2, or of a store that speaks S3.

    Tasks, threads and event loops may share an instance, and a process that was forked may go on with it.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {
            "stat",
            "list",
            "copy",
            "presign",
            "presign_upload",
            "if_absent",
            "metadata",
            "cache_control",
            "content_disposition",
        }
    )
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[R2Settings]] = R2Settings

    def __init__(self, settings: R2Settings | None = None) -> None:
        """Hold the settings, or read them from the environment; nothing is loaded or connected yet.

        Raises:
            InvalidSettings: Variables are absent or have a wrong value; all of them in one error.
        """
        self.settings = settings or load_settings(R2Settings, Environment.current())
        self._connections: dict[int, Connection] = {}

    @property
    def client(self) -> S3Client:
        """boto3's client, set up for R2. Making it blocks for about half a second, unless `check` or a call has made it."""
        return self._connection.client()

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

        What fits into one part goes in one request, the rest in parts, some of them at once. A file on a disk and bytes are
        sent from where they are; of anything else `R2_PARALLEL_PARTS` parts are in memory at most. A call that is cancelled
        while the store answers may have stored the object.

        Raises:
            StorageError: The file was changed while it was sent; nothing was stored.
        """
        key = normalize_key(file_key)
        upload = Upload(
            self._connection,
            key,
            headers={"ContentType": check_content_type(content_type), **_headers(cache_control, content_disposition)},
            metadata=encode_metadata(check_metadata(metadata)),
            if_absent=if_absent,
        )
        await upload.send(file_data)
        return self._address(key)

    async def download(self, file_key: str) -> bytes:
        """Return the whole object, compared with the digest that was stored with it; see `StorageService.download`."""
        key = normalize_key(file_key)
        for _ in range(_DOWNLOAD_ATTEMPTS - 1):
            with suppress(DamagedObject):
                return await self._download(key)
        return await self._download(key)

    async def _download(self, key: str) -> bytes:
        reader = Reader(self._connection, key)
        content = io.BytesIO()  # gives its bytes without a copy
        try:
            while await reader.read_into(content, _MAX_BLOCK_BYTES):
                pass
            return content.getvalue()
        finally:
            reader.close()

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes `[start, end)`; see `StorageService.stream`.

        A whole object is compared with its digest before the last chunk is given out; of a range, length and version are.
        """
        check_range(start, end, chunk_size)
        key = normalize_key(file_key)
        if start == end:
            await self._head(key)
            return
        reader = Reader(self._connection, key, start=start, end=end)
        # A chunk is read as such; only small ones, which take no time to copy, are cut from what was read.
        size = min(chunk_size, _MAX_BLOCK_BYTES) if chunk_size >= _MIN_BLOCK_BYTES else _SMALL_CHUNKS_BYTES
        try:
            while block := await reader.read(size):
                for offset in range(0, len(block), chunk_size):
                    yield block[offset : offset + chunk_size]
        finally:
            reader.close()

    async def get_url(
        self,
        file_key: str,
        expires_in: int = 3600,
        *,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Sign a URL of the S3 API, never of the custom domain, where it would not hold; see `StorageService.get_url`."""
        replaced = {f"Response{name}": value for name, value in _headers(cache_control, content_disposition).items()}
        return await self._sign("get_object", file_key, expires_in, **replaced)

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        """Return a URL to PUT an object to; the `Content-Type` is under the signature; see `StorageService.get_upload_url`."""
        return await self._sign("put_object", file_key, expires_in, ContentType=check_content_type(content_type))

    async def delete(self, file_key: str) -> bool:
        """Remove the object; see `StorageService.delete`.

        The store does not tell whether it had the object, so it is asked before: of two calls at once both may say True.
        Where it does not answer 204, as R2 and S3 do, it is asked after that too: what answered may be no store at all.
        """
        key = normalize_key(file_key)
        if not await self.exists(key):
            return False
        await self._connection.retries.run(partial(self._remove, key))
        return True

    async def _remove(self, key: str) -> None:
        is_deleted = await self._connection.converse(self._about("delete_object", key), says_deleted, key=key)
        if not is_deleted and await self.exists(key):
            raise BackendUnavailable(f"{self.settings.endpoint} was told to delete {key!r}, which is still there. Try again.")

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what the store knows about the object; see `StorageService.stat`."""
        key = normalize_key(file_key)
        answer = await self._head(key)
        return _info(key, answer, size=answer["ContentLength"], metadata=decode_metadata(answer["Metadata"]))

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Iterate over the objects by key, a thousand a page, without content types and metadata; see `StorageService.list`.

        What other tools stored under a key that no call could name (a folder's mark `a/`) is left out.
        """
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit={limit}: expected 0 or more.")
        start, left = normalize_prefix(prefix), -1 if limit is None else limit
        if not left:
            return
        async with aclosing(list_entries(self._connection, start, limit=limit)) as entries:
            async for key, entry in entries:
                yield _info(key, entry, size=entry["Size"])
                left -= 1
                if not left:
                    return

    async def copy(self, source_key: str, target_key: str) -> str:
        """Let the store copy an object, in parts where it is larger than 5 GiB; see `StorageService.copy`.

        Raises:
            BackendUnavailable: The object was replaced meanwhile, or the store does not answer; nothing was stored.
        """
        source, target = normalize_key(source_key), normalize_key(target_key)
        head = await self._head(source)
        if source != target:  # the store refuses to copy an object to itself
            await Copy(self._connection, source, target_key=target).run(head)
        return self._address(target)

    async def check(self) -> None:
        """Ask for an object that is not there: the cheapest question whose answer names every fault of the settings.

        Raises:
            BackendUnavailable: The store does not answer.
            ConfigurationError: It refuses: the bucket, the token or its rights are wrong.
        """
        try:
            await self._ask_for_a_byte(_NO_SUCH_KEY)
        except RequestRefused as refusal:
            raise ConfigurationError(f"{refusal} Check the settings {self.settings.variables('R2_…')}.") from refusal.__cause__
        except ConfigurationError as refusal:
            # S3 answers 403 for any object that is not there to whoever may not list; the bucket itself decides.
            try:
                await self._connection.call(
                    lambda client: client.head_bucket(Bucket=self._bucket), key=_NO_SUCH_KEY, retries=_CHECK_RETRIES
                )
            except (ConfigurationError, StorageError):
                raise refusal from refusal.__cause__

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a clock that is off by more than a minute: links then expire too early or too late."""
        ask: Any = {"Bucket": self._bucket, "Key": _NO_SUCH_KEY}
        answer: Mapping[str, Any]
        try:
            answer = await self._connection.exchange(
                lambda client: client.head_object(**ask), key=_NO_SUCH_KEY, retries=_CHECK_RETRIES
            )
        except IndiaAIError as refusal:
            answer = getattr(refusal.__cause__, "response", {})
        seconds = clock_skew(answer)
        if seconds is None or abs(seconds) <= _MAX_SKEW_SECONDS:
            return []
        return [Fault("the clock of this machine", describe_skew(seconds), "the right time", "timedatectl set-ntp true")]

    async def aclose(self) -> None:
        """Let calls that are under way end, and close the connections; a call after that opens new ones."""
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            await connection.aclose()

    @property
    def _bucket(self) -> str:
        return self.settings.bucket_name

    @property
    def _connection(self) -> Connection:
        # setdefault is atomic: two threads that come first at once go on with one; the other was never started.
        process = os.getpid()
        return self._connections.get(process) or self._connections.setdefault(process, Connection(self.settings))

    async def _head(self, key: str) -> Any:
        try:
            return await self._connection.converse(self._about("head_object", key), whole_head, key=key)
        except ObjectNotFound:
            # HEAD has no body: where the bucket is not there, it says as much. A GET tells, once in a process's life.
            if not self._connection.has_bucket:
                with suppress(StorageError, BackendUnavailable):
                    await self._ask_for_a_byte(_NO_SUCH_KEY)
            raise
        except (ConfigurationError, RequestRefused):
            with suppress(BackendUnavailable):  # the answer to a GET says why
                await self._ask_for_a_byte(key)
            raise

    def _about(self, operation: str, key: str) -> Question:
        return lambda: (operation, {"Bucket": self._bucket, "Key": key})

    async def _ask_for_a_byte(self, key: str) -> None:
        ask: Any = {"Bucket": self._bucket, "Key": key, "Range": "bytes=0-0"}
        with suppress(ObjectNotFound):
            await self._connection.exchange(lambda s3: s3.get_object(**ask)["Body"].close(), key=key, retries=_CHECK_RETRIES)
        self._connection.has_bucket = True

    async def _sign(self, operation: str, file_key: str, expires_in: int, **parameters: str) -> str:
        target = {"Bucket": self._bucket, "Key": normalize_key(file_key), **parameters}
        seconds = check_expiry(expires_in)
        if self.settings.data_plane == "lean":  # needs neither the network nor, for 15 µs, a thread
            return self._connection.lean_client().generate_presigned_url(operation, target, ExpiresIn=seconds)
        return await self._connection.call(
            lambda client: client.generate_presigned_url(operation, Params=target, ExpiresIn=seconds)
        )

    def _address(self, key: str) -> str:
        base = self.settings.public_url or f"{self.settings.endpoint}/{self._bucket}"
        return f"{base}/{quote(key)}"


def _headers(cache_control: str | None, content_disposition: str | None) -> dict[str, str]:
    headers = {
        "CacheControl": check_cache_control(cache_control),
        "ContentDisposition": check_content_disposition(content_disposition),
    }
    return {name: value for name, value in headers.items() if value}


def _info(key: str, answer: Mapping[str, Any], *, size: int, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=size,
        content_type=answer.get("ContentType", ""),
        etag=answer["ETag"].strip('"'),
        last_modified=answer["LastModified"].astimezone(UTC),
        metadata=metadata or {},
        cache_control=answer.get("CacheControl", ""),
        content_disposition=answer.get("ContentDisposition", ""),
    )
