"""The backend `local`: the storage contract on a directory; named by the entry point `indiaai.storage: local`."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import islice
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import anyio

from indiaai_core.errors import Fault, InvalidRequest, InvalidSettings
from indiaai_core.mounts import forgetful_mount
from indiaai_core.platform import request_origin
from indiaai_core.storage import (
    DEFAULT_CHUNK_SIZE,
    FileData,
    ObjectInfo,
    StorageService,
    check_cache_control,
    check_content_disposition,
    check_content_type,
    check_expiry,
    check_metadata,
    check_range,
    normalize_key,
    normalize_prefix,
)
from indiaai_storage_local.drafts import Draft, chunks_of
from indiaai_storage_local.files import Label, ObjectFile, Reading
from indiaai_storage_local.settings import LocalSettings
from indiaai_storage_local.signatures import sign
from indiaai_storage_local.threads import Call, DiskThreads
from indiaai_storage_local.tree import Tree

__all__ = ["LocalStorageService"]

ResultT = TypeVar("ResultT")

_PAGE_OBJECTS = 100

_TURN_BYTES = 12 * 1024
_CALL_BYTES = 8 * 1024
"""What is read in the event loop before other tasks have their turn, and what a call counts for beside its bytes: about
20 µs. With 64 tasks that read, whoever else is there waits for 64 turns."""


class LocalStorageService(StorageService):
    """Objects in a directory, which several processes of a host may share.

    What a call acknowledged survives the process and, with `LOCAL_STORAGE_FSYNC` on, a power cut. Tasks of any event
    loops may share an instance, and a forked child may go on using it.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"stat", "list", "copy", "presign", "presign_upload", "if_absent", "metadata", "cache_control", "content_disposition"}
    )
    contract_version: ClassVar[int] = 1
    settings_class = LocalSettings

    def __init__(self, settings: LocalSettings | None = None) -> None:
        """Take the settings; nothing is made or read yet.

        Args:
            settings: None: read from the environment.
        """
        self.settings = settings or LocalSettings()
        variable = self.settings.variables("LOCAL_STORAGE_PATH")
        self._tree = Tree(os.path.abspath(self.settings.path.expanduser()), fsync=self.settings.fsync, variable=variable)
        self._threads = DiskThreads()
        secret = self.settings.url_secret
        self._secret = secret.get_secret_value().encode() if secret else b""
        self._turn_bytes = 0

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
        """Store an object, whole or not at all: see `StorageService.upload`."""
        key = normalize_key(file_key)
        label = Label(
            check_content_type(content_type),
            check_metadata(metadata),
            check_cache_control(cache_control),
            check_content_disposition(content_disposition),
        )
        draft = Draft(self._tree, key, label, is_new=if_absent)
        try:
            if isinstance(file_data, bytes | bytearray | memoryview):
                await self._work(f"store {key!r}", draft.store, file_data, on_cancel=draft.cancel)
            else:
                async for chunk in chunks_of(file_data, self._threads):
                    await self._work(f"store {key!r}", draft.write, chunk)
                await self._work(f"store {key!r}", draft.publish, on_cancel=draft.cancel)
        except BaseException:
            await self._discard(draft)
            raise
        return self.address(key)

    async def download(self, file_key: str) -> bytes:
        """Return the whole object, compared with the digest it was stored with: see `StorageService.download`."""
        file = self._tree.load(file_key)
        if file and file.content is not None:
            await self._take_turn(file.size)
            return file.content
        key = normalize_key(file_key)
        return await self._work(f"read {key!r}", self._tree.read, key)

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes of the version that is there now: see `StorageService.stream`."""
        check_range(start, end, chunk_size)
        file = await self.open(file_key)
        try:
            stop = file.size if end is None else min(end, file.size)
            async with aclosing(self.read(file, start=start, stop=stop, chunk_size=chunk_size)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            await self.close(file)

    async def read(self, file: ObjectFile, *, start: int, stop: int, chunk_size: int) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes `[start, stop)` of an open object, which must have them; close it when done (`aclosing`).

        While a chunk is used the next one is read. The last one of a whole object is given only if all are what was stored.
        """
        reading = Reading(file, start=start, stop=stop, chunk_size=chunk_size)
        ahead: Call[bytes] | None = None
        try:
            while reading.has_more or ahead:
                if file.content is not None:
                    await self._take_turn(chunk_size)
                    yield reading.next_piece()
                    continue
                current, ahead = ahead or self._threads.start(reading.next_piece), None
                chunk = await self._end(f"read {file.key!r}", current)
                ahead = self._threads.start(reading.next_piece) if reading.has_more else None
                yield chunk
        finally:
            if ahead:  # it uses the file, which is closed next
                with anyio.CancelScope(shield=True), suppress(Exception):
                    await self._threads.wait(ahead)

    async def open(self, file_key: str) -> ObjectFile:
        """Open the version of an object that is there now; whoever calls closes it.

        Raises:
            InvalidKey: The key breaks the rules.
            ObjectNotFound: There is no object under the key.
        """
        if file := self._tree.load(file_key):
            await self._take_turn(file.size)
            return file
        key = normalize_key(file_key)
        return await self._work(f"read {key!r}", self._tree.open, key)

    async def close(self, file: ObjectFile) -> None:
        """Close an object's file: where it was replaced meanwhile, this is when the disk gives its blocks free."""
        if file.content is None:
            await self._threads.run(file.close)

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what is known about an object: see `StorageService.stat`."""
        file = await self.open(file_key)
        await self.close(file)
        return file.info

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Iterate over the objects under a prefix: see `StorageService.list`."""
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit={limit}: expected at least 0, or None for all.")
        objects = islice(self._tree.objects(normalize_prefix(prefix)), limit)
        while page := await self._work("list", lambda: [*islice(objects, _PAGE_OBJECTS)]):
            for info in page:
                yield info

    async def copy(self, source_key: str, target_key: str) -> str:
        """Copy an object, all or nothing, compared with its digest before it is there: see `StorageService.copy`."""
        key = normalize_key(target_key)
        file = await self.open(source_key)
        draft = Draft(self._tree, key, file.label, is_new=False)
        try:
            await self._work(f"copy {file.key!r} to {key!r}", draft.copy, file, on_cancel=draft.cancel)
        except BaseException:
            await self._discard(draft)
            raise
        finally:
            await self.close(file)
        return self.address(key)

    async def delete(self, file_key: str) -> bool:
        """Remove an object: see `StorageService.delete`."""
        key = normalize_key(file_key)
        return await self._work(f"delete {key!r}", self._tree.delete, key)

    async def get_url(
        self,
        file_key: str,
        expires_in: int = 3600,
        *,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Return a signed link that the application serves: see `StorageService.get_url`."""
        key, seconds = normalize_key(file_key), check_expiry(expires_in)
        headers = {
            "cache_control": check_cache_control(cache_control),
            "content_disposition": check_content_disposition(content_disposition),
        }
        query = sign(await self.secret(), f"GET {self.path_of(key)}", expires_in=seconds, headers=headers)
        return f"{self.address(key)}?{query}"

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        """Return a signed link to PUT an object to: see `StorageService.get_upload_url`."""
        key, seconds, kind = normalize_key(file_key), check_expiry(expires_in), check_content_type(content_type)
        query = sign(await self.secret(), f"PUT {self.path_of(key)}", expires_in=seconds, content_type=kind)
        return f"{self.address(key)}?{query}"

    async def check(self) -> None:
        """Prove that an object could be written.

        Raises:
            InvalidSettings: `LOCAL_STORAGE_PATH` is not, and cannot be made, a directory that may be written to and is of one
                file system.
            BackendUnavailable: The disk is full, fails or is gone.
        """
        try:
            await self._threads.run(self._tree.probe)
        except OSError as error:
            fault = self._tree.fault("take a file", error)
            is_refused = isinstance(error, FileExistsError | NotADirectoryError | PermissionError)
            if is_refused or error.errno in (errno.EROFS, errno.EXDEV):
                expected = "a directory that can be made and written to"
                found = Fault(self._tree.variable, f"{self._tree.root} ({error.strerror})", expected)
                raise InvalidSettings([found]) from error
            raise fault from error

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a directory in memory, which a restart empties."""
        mount = forgetful_mount(self._tree.root)
        if mount is None:
            return []
        found = f"{self._tree.root} is in memory: a restart of this machine empties {mount}"
        return [
            Fault("LOCAL_STORAGE_PATH", found, "a directory on a disk", "set LOCAL_STORAGE_PATH to one, or mount one there")
        ]

    async def aclose(self) -> None:
        """Let the worker threads end, and close the folders that are held open."""
        self._threads.close()
        self._tree.close()

    @property
    def http_app(self) -> Any:
        """The ASGI application that answers this service's links."""
        from indiaai_storage_local.routes import LinkRoutes

        return LinkRoutes(self)

    def path_of(self, key: str) -> str:
        """Return where an object is served, with its key as it is: what a signature is bound to."""
        return f"{self.served_at or '/_indiaai/storage/default'}/{key}"

    def address(self, key: str) -> str:
        """Return an object's lasting address: absolute where a setting or the current request says to whom."""
        return f"{self.settings.public_url or request_origin.get()}{quote(self.path_of(key))}"

    async def secret(self) -> bytes:
        """Return what signs links."""
        if not self._secret:
            self._secret = await self._work("keep the secret that signs links", self._tree.secret)
        return self._secret

    async def _discard(self, draft: Draft) -> None:
        with anyio.CancelScope(shield=True):
            await self._threads.run(draft.discard)

    async def _take_turn(self, size: int) -> None:
        # What never waits never lets other tasks have the event loop: so after a while it does.
        self._turn_bytes += size + _CALL_BYTES
        if self._turn_bytes >= _TURN_BYTES:
            self._turn_bytes = 0
            await asyncio.sleep(0)

    async def _work(
        self, action: str, function: Callable[..., ResultT], *args: Any, on_cancel: Callable[[], None] | None = None
    ) -> ResultT:
        return await self._end(action, self._threads.start(function, *args), on_cancel=on_cancel)

    async def _end(self, action: str, call: Call[ResultT], *, on_cancel: Callable[[], None] | None = None) -> ResultT:
        try:
            return await self._threads.wait(call, on_cancel=on_cancel)
        except OSError as error:
            raise self._tree.fault(action, error) from error
