"""The contenders on a local disk: this project's backend, plain threads, and the libraries that store files asynchronously.

Imported by the workers of `storage_local`. A contender's library is loaded when it is opened and not before. What a returned
`put` promises differs, and is written at each: `atomic`, a reader sees the old object or the new one; `survives`, what of it a
power cut leaves: nothing for sure, the file, or the file and its name.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

__all__ = ["FOLDERS", "Folder"]

MIB = 1024 * 1024
THREADS = 16

ResultT = TypeVar("ResultT")
Survives = Literal["", "file", "file and name"]


class Folder(ABC):
    """One way to keep objects in a directory."""

    atomic: ClassVar[bool] = True
    survives: ClassVar[Survives] = ""

    @abstractmethod
    async def open(self, root: str) -> None:
        """Make ready; the directory is there and empty."""

    @abstractmethod
    async def put(self, key: str, content: bytes) -> object:
        """Store a small object."""

    @abstractmethod
    async def get(self, key: str) -> bytes:
        """Return a small object."""

    @abstractmethod
    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Store an object that comes in pieces of 1 MiB."""

    @abstractmethod
    async def drain(self, key: str) -> int:
        """Read an object from end to end in pieces of 1 MiB, keeping nothing, and return its length."""

    async def close(self) -> None:
        """End."""
        return


class OurFolder(Folder):
    """This project's backend as it comes out of its package."""

    survives: ClassVar[Survives] = "file and name"
    fsync = True

    async def open(self, root: str) -> None:
        """Make the service."""
        package = importlib.import_module("indiaai_storage_local")
        settings = package.LocalSettings.model_validate({"path": root, "fsync": self.fsync})
        self.service: Any = package.LocalStorageService(settings)

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.service.upload(key, content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        content: bytes = await self.service.download(key)
        return content

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Give an asynchronous iterator."""
        return await self.service.upload(key, _repeat(chunk, times=times))

    async def drain(self, key: str) -> int:
        """Iterate over the object."""
        return sum([len(chunk) async for chunk in self.service.stream(key, chunk_size=MIB)])

    async def close(self) -> None:
        """Close the service."""
        await self.service.aclose()


class OurFolderWithoutFsync(OurFolder):
    """The same with `LOCAL_STORAGE_FSYNC` off."""

    survives = ""
    fsync = False


class ThreadFolder(Folder):
    """A temporary file, renamed, in a pool of threads: what an application would write itself."""

    fsyncs_file = False
    fsyncs_name = False

    async def open(self, root: str) -> None:
        """Start the threads."""
        self.root = root
        self.threads = ThreadPoolExecutor(THREADS)
        self.numbers = count()
        Path(root, ".new").mkdir()  # noqa: ASYNC240 - nothing else runs yet

    def _run(self, function: Callable[..., ResultT], *arguments: Any) -> asyncio.Future[ResultT]:
        return asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    def _new_name(self) -> str:
        return f"{self.root}/.new/{next(self.numbers)}"

    def _put(self, key: str, content: bytes) -> None:
        name = self._new_name()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(file, content)
            if self.fsyncs_file:
                os.fsync(file)
        finally:
            os.close(file)
        self._publish(name, key)

    def _publish(self, name: str, key: str) -> None:
        path = f"{self.root}/{key}"
        try:
            os.rename(name, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(name, path)
        if self.fsyncs_name:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)

    def _get(self, key: str) -> bytes:
        with open(f"{self.root}/{key}", "rb", buffering=0) as file:
            return file.read()

    async def put(self, key: str, content: bytes) -> object:
        """Store it in one hop."""
        return await self._run(self._put, key, content)

    async def get(self, key: str) -> bytes:
        """Read it in one hop."""
        return await self._run(self._get, key)

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Write each piece in a hop."""
        name = self._new_name()
        with open(name, "wb", buffering=0) as file:  # noqa: ASYNC230 - only the pieces are measured to matter
            for _ in range(times):
                await self._run(file.write, chunk)
            if self.fsyncs_file:
                await self._run(os.fsync, file.fileno())
        return await self._run(self._publish, name, key)

    async def drain(self, key: str) -> int:
        """Read each piece in a hop."""
        size = 0
        with open(f"{self.root}/{key}", "rb", buffering=0) as file:  # noqa: ASYNC230 - only the pieces are measured to matter
            while chunk := await self._run(file.read, MIB):
                size += len(chunk)
        return size

    async def close(self) -> None:
        """End the threads."""
        self.threads.shutdown()


class FsyncThreadFolder(ThreadFolder):
    """The same, with the file synchronised before it is renamed."""

    survives: ClassVar[Survives] = "file"
    fsyncs_file = True


class DurableThreadFolder(FsyncThreadFolder):
    """The same, with the directory synchronised after that."""

    survives = "file and name"
    fsyncs_name = True


class AiofilesFolder(ThreadFolder):
    """aiofiles, with a temporary file and a rename for small objects; its streams write in place."""

    async def open(self, root: str) -> None:
        """Import it."""
        await super().open(root)
        self.aiofiles: Any = importlib.import_module("aiofiles")
        self.rename: Any = importlib.import_module("aiofiles.os").rename

    async def put(self, key: str, content: bytes) -> object:
        """Write and rename."""
        name, path = self._new_name(), f"{self.root}/{key}"
        async with self.aiofiles.open(name, "wb") as file:
            await file.write(content)
        with suppress(FileNotFoundError):
            return await self.rename(name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return await self.rename(name, path)

    async def get(self, key: str) -> bytes:
        """Open and read."""
        async with self.aiofiles.open(f"{self.root}/{key}", "rb") as file:
            content: bytes = await file.read()
            return content

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Write in place."""
        async with self.aiofiles.open(f"{self.root}/{key}", "wb") as file:
            for _ in range(times):
                await file.write(chunk)
        return key

    async def drain(self, key: str) -> int:
        """Read in pieces."""
        size = 0
        async with self.aiofiles.open(f"{self.root}/{key}", "rb") as file:
            while chunk := await file.read(MIB):
                size += len(chunk)
        return size


class AnyioFolder(ThreadFolder):
    """anyio's files, in the same way."""

    async def open(self, root: str) -> None:
        """Import it."""
        await super().open(root)
        self.anyio: Any = importlib.import_module("anyio")

    async def put(self, key: str, content: bytes) -> object:
        """Write and rename."""
        new, path = self.anyio.Path(self._new_name()), self.anyio.Path(f"{self.root}/{key}")
        await new.write_bytes(content)
        with suppress(FileNotFoundError):
            return await new.rename(path)
        await path.parent.mkdir(parents=True, exist_ok=True)
        return await new.rename(path)

    async def get(self, key: str) -> bytes:
        """Open and read."""
        content: bytes = await self.anyio.Path(f"{self.root}/{key}").read_bytes()
        return content

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Write in place."""
        async with await self.anyio.open_file(f"{self.root}/{key}", "wb") as file:
            for _ in range(times):
                await file.write(chunk)
        return key

    async def drain(self, key: str) -> int:
        """Read in pieces."""
        size = 0
        async with await self.anyio.open_file(f"{self.root}/{key}", "rb") as file:
            while chunk := await file.read(MIB):
                size += len(chunk)
        return size


class ObstoreFolder(Folder):
    """obstore's LocalStore: a temporary file and a rename."""

    async def open(self, root: str) -> None:
        """Make the store."""
        self.store: Any = importlib.import_module("obstore.store").LocalStore(root)

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.store.put_async(key, content)

    async def get(self, key: str) -> bytes:
        """Return it as bytes, which is a copy of its own buffer."""
        return bytes(await (await self.store.get_async(key)).bytes_async())

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Store what an asynchronous iterator gives."""
        return await self.store.put_async(key, _repeat(chunk, times=times))

    async def drain(self, key: str) -> int:
        """Read one stream in pieces."""
        answer = await self.store.get_async(key)
        return sum([len(chunk) async for chunk in answer.stream(min_chunk_size=MIB)])


class OpendalFolder(Folder):
    """opendal's `fs`, which writes in place and synchronises the file."""

    atomic = False
    survives = "file"
    is_atomic = False

    async def open(self, root: str) -> None:
        """Make the operator."""
        new = {"atomic_write_dir": f"{root}/.new"} if self.is_atomic else {}
        self.operator: Any = importlib.import_module("opendal").AsyncOperator("fs", root=root, **new)

    async def put(self, key: str, content: bytes) -> object:
        """Store it."""
        return await self.operator.write(key, content)

    async def get(self, key: str) -> bytes:
        """Return it."""
        content: bytes = await self.operator.read(key)
        return content

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Write the pieces."""
        writer = await self.operator.open(key, "wb")
        for _ in range(times):
            await writer.write(chunk)
        return await writer.close()

    async def drain(self, key: str) -> int:
        """Read in pieces."""
        reader, size = await self.operator.open(key, "rb"), 0
        while chunk := await reader.read(MIB):
            size += len(chunk)
        await reader.close()
        return size


class AtomicOpendalFolder(OpendalFolder):
    """The same with a directory for temporary files, which are then renamed."""

    atomic = True
    is_atomic = True


class FsspecFolder(ThreadFolder):
    """fsspec's local files, which are synchronous, in threads; it writes in place."""

    atomic = False

    async def open(self, root: str) -> None:
        """Make the file system."""
        await super().open(root)
        self.files: Any = importlib.import_module("fsspec.implementations.local").LocalFileSystem(auto_mkdir=True)

    def _put(self, key: str, content: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{key}", content)

    def _get(self, key: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.root}/{key}")
        return content

    async def write(self, key: str, chunk: bytes, *, times: int) -> object:
        """Write each piece in a hop."""
        with self.files.open(f"{self.root}/{key}", "wb") as file:
            for _ in range(times):
                await self._run(file.write, chunk)
        return key

    async def drain(self, key: str) -> int:
        """Read each piece in a hop."""
        size = 0
        with self.files.open(f"{self.root}/{key}", "rb") as file:
            while chunk := await self._run(file.read, MIB):
                size += len(chunk)
        return size


async def _repeat(chunk: bytes, *, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield chunk


FOLDERS: dict[str, type[Folder]] = {
    "indiaai": OurFolder,
    "indiaai, fsync off": OurFolderWithoutFsync,
    "threads": ThreadFolder,
    "threads, fsync": FsyncThreadFolder,
    "threads, fsync + dir": DurableThreadFolder,
    "aiofiles": AiofilesFolder,
    "anyio": AnyioFolder,
    "obstore": ObstoreFolder,
    "opendal": OpendalFolder,
    "opendal, atomic": AtomicOpendalFolder,
    "fsspec in threads": FsspecFolder,
}
