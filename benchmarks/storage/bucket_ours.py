"""This project's backend as a contender, on each of its two ways of sending; imported by the table of contenders."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from storage.bucket_client import MIB, Bucket, Target, asynchronous

__all__ = ["OurBucket", "OurBucketOnBoto3"]


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
        return await self.service.upload(key, asynchronous(chunks))

    def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Iterate over the object."""
        pieces: AsyncIterator[bytes] = self.service.stream(key, chunk_size=MIB)
        return pieces

    async def close(self) -> None:
        """Close the service."""
        await self.service.aclose()


class OurBucketOnBoto3(OurBucket):
    """The same with the setting that sends everything through boto3."""

    data_plane = "boto3"
