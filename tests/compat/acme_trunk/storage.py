"""The storage backend `trunk`: each object in a file, whose first line says what it is."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from anyio import to_thread
from pydantic import Field

from indiaai_core import (
    BackendSettings,
    BackendUnavailable,
    InvalidRequest,
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    SettingsConfigDict,
    StorageService,
    Unsupported,
)
from indiaai_core.settings import load_settings
from indiaai_core.storage import FileData, check_content_type, check_expiry, normalize_key, normalize_prefix, read_all

__all__ = ["TrunkSettings", "TrunkStorageService"]


class TrunkSettings(BackendSettings):
    """Where the objects are."""

    model_config = SettingsConfigDict(env_prefix="TRUNK_")

    path: Path = Field(description="the folder of the objects")


class TrunkStorageService(StorageService):
    """Objects of a folder; any number of tasks and processes may share it."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"stat", "list", "if_absent"})
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[TrunkSettings]] = TrunkSettings

    def __init__(self, settings: TrunkSettings | None = None) -> None:
        """Hold the settings, or read them."""
        self.settings = settings or load_settings(TrunkSettings)
        self._is_closed = False

    async def check(self) -> None:
        """Make the folder where it is missing."""
        self._require_open()
        try:
            await to_thread.run_sync(lambda: self.settings.path.mkdir(parents=True, exist_ok=True))
        except OSError as error:
            raise BackendUnavailable(f"The folder {self.settings.path} cannot be made: {error.strerror}.") from error

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
        """Write a file beside the others, and give it its name."""
        key = normalize_key(file_key)
        check_content_type(content_type)
        asked = {"metadata": metadata, "cache_control": cache_control, "content_disposition": content_disposition}
        for name in (name for name, value in asked.items() if value):
            raise Unsupported(type(self).__name__, name)
        await self.check()
        content = await read_all(file_data)
        line = json.dumps({"key": key, "type": content_type, "size": len(content)}).encode()
        await to_thread.run_sync(self._write, key, line + b"\n" + content, if_absent)
        return f"trunk:{key}"

    async def download(self, file_key: str) -> bytes:
        """Return what stands below the first line."""
        return (await self._read(normalize_key(file_key)))[1]

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what the first line says."""
        return (await self._read(normalize_key(file_key)))[0]

    def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Read every first line."""
        self._require_open()
        wanted = normalize_prefix(prefix)
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit={limit}: expected none or at least 0.")
        return self._listed(wanted, limit)

    async def get_url(
        self, file_key: str, expires_in: int = 3600, *, cache_control: str | None = None, content_disposition: str | None = None
    ) -> str:
        """Return where the object is: a trunk is nobody else's to open."""
        key = normalize_key(file_key)
        check_expiry(expires_in)
        for name, value in {"cache_control": cache_control, "content_disposition": content_disposition}.items():
            if value:
                raise Unsupported(type(self).__name__, name)
        self._require_open()
        return f"/trunk/{key}"

    async def delete(self, file_key: str) -> bool:
        """Remove the file."""
        place = self._place(normalize_key(file_key))
        self._require_open()
        try:
            await to_thread.run_sync(place.unlink)
        except FileNotFoundError:
            return False
        return True

    async def aclose(self) -> None:
        """Serve no more."""
        self._is_closed = True

    def _require_open(self) -> None:
        if self._is_closed:
            raise BackendUnavailable("The trunk is closed: ask the platform for another.")

    def _place(self, key: str) -> Path:
        return self.settings.path / hashlib.sha256(key.encode()).hexdigest()

    def _write(self, key: str, content: bytes, if_absent: bool) -> None:
        draft = self.settings.path / f"draft-{secrets.token_hex(8)}"
        try:
            draft.write_bytes(content)
            if if_absent:
                os.link(draft, self._place(key))
            else:
                draft.replace(self._place(key))
        except FileExistsError as error:
            raise ObjectExists(key) from error
        finally:
            draft.unlink(missing_ok=True)

    async def _read(self, key: str) -> tuple[ObjectInfo, bytes]:
        self._require_open()
        try:
            return await to_thread.run_sync(_read_file, self._place(key))
        except FileNotFoundError as error:
            raise ObjectNotFound(key) from error

    async def _listed(self, prefix: str, limit: int | None) -> AsyncIterator[ObjectInfo]:
        await self.check()
        found = await to_thread.run_sync(_infos, self.settings.path)
        chosen = sorted((info for info in found if info.key.startswith(prefix)), key=lambda info: info.key.encode())
        for info in chosen[:limit]:
            yield info


def _read_file(place: Path) -> tuple[ObjectInfo, bytes]:
    with place.open("rb") as file:
        said = json.loads(file.readline())
        content = file.read()
        changed = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    etag = hashlib.sha256(content).hexdigest()
    return ObjectInfo(key=said["key"], size=said["size"], content_type=said["type"], etag=etag, last_modified=changed), content


def _infos(folder: Path) -> list[ObjectInfo]:
    infos = []
    for place in folder.iterdir():
        if not place.name.startswith("draft-"):
            try:
                infos.append(_read_file(place)[0])
            except FileNotFoundError:  # it was deleted since the folder was read
                continue
    return infos
