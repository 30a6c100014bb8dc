"""The contenders on S3: this project's backend and its peers, each as its own documentation would have it used at its best.

Imported by the workers of `storage_r2`. A contender's library is loaded when it is opened and not before.
"""

from __future__ import annotations

import asyncio
import importlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from io import BytesIO, RawIOBase
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["BUCKETS", "Bucket", "Target"]

MIB = 1024 * 1024
PART_BYTES = 16 * MIB
PARALLEL_PARTS = 4
CONNECTIONS = 64
THREADS = 16


@dataclass(frozen=True)
class Target:
    """The bucket of a test server. Whoever reaches it over TLS finds the authority that signed it in `ca_file`."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    ca_file: str = ""
    region: str = "auto"


class Bucket(ABC):
    """One client of S3. A transfer that a client does not offer raises NotImplementedError, and is left out."""

    modules: ClassVar[tuple[str, ...]] = ()
    needed_anyway: ClassVar[tuple[str, ...]] = ()  # what an application has loaded before it comes to this client

    @abstractmethod
    async def open(self, target: Target) -> None:
        """Make the client."""

    @abstractmethod
    async def put(self, key: str, content: bytes) -> object:
        """Store a small object."""

    @abstractmethod
    async def get(self, key: str) -> bytes:
        """Return a small object."""

    @abstractmethod
    async def sign(self, key: str) -> str:
        """Return a URL to GET the object from."""

    async def put_file(self, key: str, path: str) -> object:
        """Store a file's content."""
        raise NotImplementedError

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Store what an iterator gives, whose length nobody knows."""
        raise NotImplementedError

    async def drain(self, key: str) -> int:
        """Read an object from end to end, keeping nothing, and return its length."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the client."""
        return


class OurBucket(Bucket):
    """This project's backend, as it comes out of its package."""

    modules = ("indiaai_storage_r2",)
    needed_anyway = ("indiaai_core", "indiaai_core.storage", "indiaai_core.settings")
    data_plane = ""

    async def open(self, target: Target) -> None:
        """Make the service; where one way of sending is asked for, and there is none, say so."""
        package = importlib.import_module("indiaai_storage_r2")
        plane = {"data_plane": self.data_plane} if self.data_plane else {}
        if plane.keys() - package.R2Settings.model_fields.keys():
            raise ImportError("this version has no setting R2_DATA_PLANE")
        values = {
            "endpoint_url": target.endpoint,
            "bucket_name": target.bucket,
            "access_key_id": target.access_key,
            "secret_access_key": target.secret_key,
        }
        self.service: Any = package.R2StorageService(package.R2Settings.model_validate(values | plane))

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.service.upload(key, content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        content: bytes = await self.service.download(key)
        return content

    async def sign(self, key: str) -> str:
        """Sign."""
        url: str = await self.service.get_url(key)
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Give the open file."""
        with Path(path).open("rb") as file:  # noqa: ASYNC230 - opening a file that is there takes no time
            return await self.service.upload(key, file)

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Give an asynchronous iterator."""
        return await self.service.upload(key, _asynchronous(chunks))

    async def drain(self, key: str) -> int:
        """Iterate over the object."""
        return sum([len(chunk) async for chunk in self.service.stream(key, chunk_size=MIB)])

    async def close(self) -> None:
        """Close the service."""
        await self.service.aclose()


class OurBucketOnBoto3(OurBucket):
    """The same with the setting that sends everything through boto3."""

    data_plane = "boto3"


class Boto3Bucket(Bucket):
    """boto3 in threads, with everything switched off that R2 does not need and that costs."""

    modules = ("boto3", "boto3.s3.transfer", "botocore.config")

    async def open(self, target: Target) -> None:
        """Make client and threads."""
        boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
        settings = config.Config(
            max_pool_connections=THREADS,
            parameter_validation=False,
            tcp_keepalive=True,
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            **_CHECKSUMS,
        )
        self.client: Any = boto3.client("s3", config=settings, **_botocore_arguments(target))
        self.client.meta.events.unregister("before-call.s3", importlib.import_module("botocore.handlers").add_expect_header)
        self.bucket = target.bucket
        self.threads = ThreadPoolExecutor(THREADS)
        self.transfer = importlib.import_module("boto3.s3.transfer").TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARALLEL_PARTS
        )

    def _run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *arguments, **named))

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self._run(self.client.put_object, Bucket=self.bucket, Key=key, Body=content)

    async def get(self, key: str) -> bytes:
        """Read it in the thread that asked."""

        def read() -> bytes:
            content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            return content

        content: bytes = await self._run(read)
        return content

    async def sign(self, key: str) -> str:
        """Sign; no thread is needed."""
        url: str = self.client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=3600)
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Let s3transfer do it."""
        return await self._run(self.client.upload_file, path, self.bucket, key, Config=self.transfer)

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Let s3transfer read from the iterator."""
        return await self._run(self.client.upload_fileobj, _Pipe(chunks()), self.bucket, key, Config=self.transfer)

    async def drain(self, key: str) -> int:
        """Read one stream in pieces; its transfers fetch parts at once, but for a file, and not for who wants them in order."""
        body, size = (await self._run(self.client.get_object, Bucket=self.bucket, Key=key))["Body"], 0
        while chunk := await self._run(body.read, MIB):
            size += len(chunk)
        return size

    async def close(self) -> None:
        """Close client and threads."""
        self.client.close()
        self.threads.shutdown()


class AiobotocoreBucket(Bucket):
    """aiobotocore; it has no transfers, so parts are sent four at a time, as its users write it."""

    modules = ("aiobotocore.session", "aiobotocore.config")

    async def open(self, target: Target) -> None:
        """Enter the client."""
        self.bucket = target.bucket
        self.stack = AsyncExitStack()
        self.client: Any = await self.stack.enter_async_context(self._client(target))

    def _client(self, target: Target) -> Any:
        session = importlib.import_module("aiobotocore.session").get_session()
        return session.create_client("s3", config=self._config(), **_botocore_arguments(target))

    def _config(self) -> Any:
        config = importlib.import_module("aiobotocore.config").AioConfig
        return config(max_pool_connections=CONNECTIONS, s3={"addressing_style": "path"}, **_CHECKSUMS)

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        answer = await self.client.get_object(Bucket=self.bucket, Key=key)
        async with answer["Body"] as body:
            content: bytes = await body.read()
            return content

    async def sign(self, key: str) -> str:
        """Sign."""
        parameters = {"Bucket": self.bucket, "Key": key}
        url: str = await self.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=3600)
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Read parts in a thread and send them."""
        with Path(path).open("rb") as file:  # noqa: ASYNC230 - opening a file that is there takes no time
            return await self._put_parts(key, lambda: asyncio.to_thread(file.read, PART_BYTES))

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Gather parts and send them."""
        pipe = _Pipe(chunks())

        async def read() -> bytes:
            return pipe.read(PART_BYTES)

        return await self._put_parts(key, read)

    async def _put_parts(self, key: str, read: Callable[[], Any]) -> object:
        target = {"Bucket": self.bucket, "Key": key}
        target["UploadId"] = (await self.client.create_multipart_upload(**target))["UploadId"]
        slots, parts = asyncio.Semaphore(PARALLEL_PARTS), []

        async def send(number: int, part: bytes) -> None:
            try:
                answer = await self.client.upload_part(**target, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            for number in count(1):
                await slots.acquire()
                if not (part := await read()):
                    break
                group.create_task(send(number, part))
        parts.sort(key=lambda entry: entry["PartNumber"])
        return await self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        answer = await self.client.get_object(Bucket=self.bucket, Key=key)
        async with answer["Body"] as body:
            return sum([len(chunk) async for chunk in body.iter_chunks(MIB)])

    async def close(self) -> None:
        """Leave the client."""
        await self.stack.aclose()


class Aioboto3Bucket(AiobotocoreBucket):
    """aioboto3: the same client with boto3's transfers; it pins an older botocore than boto3's newest."""

    modules = ("aioboto3", "aiobotocore.config")

    def _client(self, target: Target) -> Any:
        session = importlib.import_module("aioboto3").Session()
        return session.client("s3", config=self._config(), **_botocore_arguments(target))

    async def put_file(self, key: str, path: str) -> object:
        """Let its transfer do it."""
        return await self.client.upload_file(path, self.bucket, key)


class S3fsBucket(Bucket):
    """s3fs, through the coroutines that its synchronous face is made of."""

    modules = ("s3fs",)

    async def open(self, target: Target) -> None:
        """Make the file system."""
        self.bucket = target.bucket
        self.files: Any = importlib.import_module("s3fs").S3FileSystem(
            key=target.access_key,
            secret=target.secret_key,
            endpoint_url=target.endpoint,
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
            client_kwargs={"region_name": target.region, **({"verify": target.ca_file} if target.ca_file else {})},
            config_kwargs={"max_pool_connections": CONNECTIONS, "s3": {"addressing_style": "path"}, **_CHECKSUMS},
        )
        self.session: Any = await self.files.set_session()

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.files._pipe_file(f"{self.bucket}/{key}", content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        content: bytes = await self.files._cat_file(f"{self.bucket}/{key}")
        return content

    async def sign(self, key: str) -> str:
        """Sign."""
        url: str = await self.files._url(f"{self.bucket}/{key}", expires=3600)
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Store the file."""
        return await self.files._put_file(path, f"{self.bucket}/{key}", chunksize=PART_BYTES)

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        file, size = await self.files.open_async(f"{self.bucket}/{key}", "rb"), 0
        while chunk := await file.read(MIB):
            size += len(chunk)
        return size

    async def close(self) -> None:
        """Close its session."""
        await self.session.close()


class ObstoreBucket(Bucket):
    """obstore, over TLS with the authority given, so that it checks certificates as everybody does."""

    modules = ("obstore", "obstore.store")

    async def open(self, target: Target) -> None:
        """Make the store."""
        options: dict[str, Any] = {"allow_http": True, "timeout": "600s"}
        if target.ca_file:
            options["root_certificate"] = Path(target.ca_file).read_bytes()  # noqa: ASYNC240 - a kilobyte, at the start
        self.library: Any = importlib.import_module("obstore")
        self.store: Any = importlib.import_module("obstore.store").S3Store(
            target.bucket,
            endpoint=target.endpoint,
            access_key_id=target.access_key,
            secret_access_key=target.secret_key,
            region=target.region,
            virtual_hosted_style_request=False,
            client_options=options,
        )

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.store.put_async(key, content)

    async def get(self, key: str) -> bytes:
        """Return it as bytes, which is a copy of its own buffer."""
        return bytes(await (await self.store.get_async(key)).bytes_async())

    async def sign(self, key: str) -> str:
        """Sign; nothing is waited for."""
        url: str = self.library.sign(self.store, "GET", key, timedelta(hours=1))
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Store the file in parts."""
        return await self.store.put_async(key, Path(path), chunk_size=PART_BYTES, max_concurrency=PARALLEL_PARTS)

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Store what an asynchronous iterator gives."""
        source = _asynchronous(chunks)
        return await self.store.put_async(key, source, chunk_size=PART_BYTES, max_concurrency=PARALLEL_PARTS)

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        answer = await self.store.get_async(key)
        return sum([len(chunk) async for chunk in answer.stream(min_chunk_size=MIB)])


class OpendalBucket(Bucket):
    """opendal without layers: it then retries nothing, which the others do."""

    modules = ("opendal",)

    async def open(self, target: Target) -> None:
        """Make the operator."""
        self.operator: Any = importlib.import_module("opendal").AsyncOperator(
            "s3",
            bucket=target.bucket,
            endpoint=target.endpoint,
            access_key_id=target.access_key,
            secret_access_key=target.secret_key,
            region=target.region,
            disable_config_load="true",
            disable_ec2_metadata="true",
        )

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.operator.write(key, content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        content: bytes = await self.operator.read(key)
        return content

    async def sign(self, key: str) -> str:
        """Sign."""
        url: str = (await self.operator.presign_read(key, 3600)).url
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Read pieces in a thread and write them."""
        with Path(path).open("rb") as file:  # noqa: ASYNC230 - opening a file that is there takes no time
            return await self._write(key, lambda: asyncio.to_thread(file.read, 4 * MIB))

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Write the pieces as they come."""
        source = chunks()

        async def read() -> bytes:
            return next(source, b"")

        return await self._write(key, read)

    async def _write(self, key: str, read: Callable[[], Any]) -> object:
        writer = await self.operator.open(key, "wb", chunk=PART_BYTES, concurrent=PARALLEL_PARTS)
        while piece := await read():
            await writer.write(piece)
        return await writer.close()

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        reader, size = await self.operator.open(key, "rb"), 0
        while chunk := await reader.read(MIB):
            size += len(chunk)
        await reader.close()
        return size


class MiniopyBucket(Bucket):
    """miniopy-async, the asynchronous MinIO client."""

    modules = ("miniopy_async",)

    async def open(self, target: Target) -> None:
        """Make the client; it finds the authority in SSL_CERT_FILE."""
        scheme, _, host = target.endpoint.partition("://")
        self.bucket = target.bucket
        self.client: Any = importlib.import_module("miniopy_async").Minio(
            host, access_key=target.access_key, secret_key=target.secret_key, secure=scheme == "https", region=target.region
        )

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.client.put_object(self.bucket, key, BytesIO(content), len(content))

    async def get(self, key: str) -> bytes:
        """Return it and give the connection back."""
        answer = await self.client.get_object(self.bucket, key)
        content: bytes = await answer.read()
        answer.release()
        return content

    async def sign(self, key: str) -> str:
        """Sign."""
        url: str = await self.client.presigned_get_object(self.bucket, key, expires=timedelta(hours=1))
        return url

    async def put_file(self, key: str, path: str) -> object:
        """Store the file in parts."""
        return await self.client.fput_object(self.bucket, key, path, part_size=PART_BYTES)

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        answer = await self.client.get_object(self.bucket, key)
        size = sum([len(chunk) async for chunk in answer.content.iter_chunked(MIB)])
        answer.release()
        return size

    async def close(self) -> None:
        """Close its session."""
        await self.client.close_session()


class _Pipe(RawIOBase):
    """An iterator as a file, for clients that only read files; no more is held than one read asks for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        pieces, length = [self._left], len(self._left)
        while (size < 0 or length < size) and (chunk := next(self._chunks, b"")):
            pieces.append(chunk)
            length += len(chunk)
        joined = b"".join(pieces)
        found, self._left = (joined, b"") if size < 0 else (joined[:size], joined[size:])
        return found


async def _asynchronous(chunks: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
    for chunk in chunks():
        yield chunk


def _botocore_arguments(target: Target) -> dict[str, Any]:
    return {
        "endpoint_url": target.endpoint,
        "aws_access_key_id": target.access_key,
        "aws_secret_access_key": target.secret_key,
        "region_name": target.region,
        **({"verify": target.ca_file} if target.ca_file else {}),
    }


# As R2 wants it, and cheaper than the default.
_CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}

BUCKETS: dict[str, type[Bucket]] = {
    "indiaai": OurBucket,
    "indiaai on boto3": OurBucketOnBoto3,
    "boto3 in threads": Boto3Bucket,
    "aiobotocore": AiobotocoreBucket,
    "aioboto3": Aioboto3Bucket,
    "s3fs": S3fsBucket,
    "obstore": ObstoreBucket,
    "opendal": OpendalBucket,
    "miniopy-async": MiniopyBucket,
}
