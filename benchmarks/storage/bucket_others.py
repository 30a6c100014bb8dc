"""The contenders with a core of their own: obstore, opendal and miniopy-async; imported by the table of contenders."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from storage.bucket_client import MIB, PARALLEL_PARTS, PART_BYTES, Bucket, ComparedBucket, Target, asynchronous

__all__ = ["ComparedObstoreBucket", "MiniopyBucket", "ObstoreBucket", "OpendalBucket"]


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
        source = asynchronous(chunks)
        return await self.store.put_async(key, source, chunk_size=PART_BYTES, max_concurrency=PARALLEL_PARTS)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces."""
        answer = await self.store.get_async(key)
        async for piece in answer.stream(min_chunk_size=MIB):
            yield piece


class ComparedObstoreBucket(ComparedBucket, ObstoreBucket):
    """The same, compared."""

    async def etag(self, key: str) -> str:
        """Ask for the ETag, without quotes."""
        found: str = (await self.store.head_async(key))["e_tag"]
        return found.strip('"')


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

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces."""
        reader = await self.operator.open(key, "rb")
        while piece := await reader.read(MIB):
            yield piece
        await reader.close()


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

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read one stream in pieces."""
        answer = await self.client.get_object(self.bucket, key)
        async for piece in answer.content.iter_chunked(MIB):
            yield piece
        answer.release()

    async def close(self) -> None:
        """Close its session."""
        await self.client.close_session()
