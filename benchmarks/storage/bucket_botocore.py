"""The contenders that are made of botocore: boto3, aiobotocore, aioboto3 and s3fs; imported by the table of contenders."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from storage.bucket_client import CONNECTIONS, MIB, PARALLEL_PARTS, PART_BYTES, THREADS, Bucket, ComparedBucket, Pipe, Target

__all__ = ["Aioboto3Bucket", "AiobotocoreBucket", "Boto3Bucket", "ComparedBoto3Bucket", "S3fsBucket"]

# As R2 wants it, and cheaper than the default.
_CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}


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
        return await self._run(self.client.upload_fileobj, Pipe(chunks()), self.bucket, key, Config=self.transfer)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces; its transfers fetch parts at once, but for a file, and not for who wants them in order."""
        body = (await self._run(self.client.get_object, Bucket=self.bucket, Key=key))["Body"]
        while piece := await self._run(body.read, MIB):
            yield piece

    async def close(self) -> None:
        """Close client and threads."""
        self.client.close()
        self.threads.shutdown()


class ComparedBoto3Bucket(ComparedBucket, Boto3Bucket):
    """The same, compared."""

    async def etag(self, key: str) -> str:
        """Ask for the ETag, without quotes."""
        found: str = (await self._run(self.client.head_object, Bucket=self.bucket, Key=key))["ETag"]
        return found.strip('"')


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
        pipe = Pipe(chunks())

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

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces."""
        answer = await self.client.get_object(Bucket=self.bucket, Key=key)
        async with answer["Body"] as body:
            async for piece in body.iter_chunks(MIB):
                yield piece

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

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces."""
        file = await self.files.open_async(f"{self.bucket}/{key}", "rb")
        while piece := await file.read(MIB):
            yield piece

    async def close(self) -> None:
        """Close its session."""
        await self.session.close()


def _botocore_arguments(target: Target) -> dict[str, Any]:
    return {
        "endpoint_url": target.endpoint,
        "aws_access_key_id": target.access_key,
        "aws_secret_access_key": target.secret_key,
        "region_name": target.region,
        **({"verify": target.ca_file} if target.ca_file else {}),
    }
