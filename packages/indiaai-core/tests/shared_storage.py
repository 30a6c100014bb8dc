"""A stranger's storage backend for the tests of the command line, whose objects any service of this process sees."""

from __future__ import annotations

import sys
from typing import Any

from typer.testing import CliRunner, Result

from indiaai_core.cli.app import build_app

__all__ = ["SHARED_STORAGE", "backend", "objects", "run"]

SHARED_STORAGE = """
    from collections import defaultdict
    from datetime import UTC, datetime

    from indiaai_core import (
        BackendSettings, BackendUnavailable, ObjectExists, ObjectInfo, ObjectNotFound, SettingsConfigDict, StorageError,
        StorageService,
    )
    from indiaai_core.storage import normalize_key, read_all

    class AcmeSettings(BackendSettings):
        model_config = SettingsConfigDict(env_prefix="ACME_")
        store: str = "main"

    class Backend(StorageService):
        capabilities = frozenset({"stat", "list", "copy", "if_absent", "metadata"})
        settings_class = AcmeSettings
        stores = defaultdict(dict)
        copies = []
        fails_at = {}
        moments = defaultdict(dict)
        now = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
        meanwhile = {}

        def __init__(self, settings):
            self.objects = self.stores[settings.store]
            self.stored_at = self.moments[settings.store]

        async def upload(self, file_key, file_data, content_type="", *, if_absent=False, metadata=None):
            key = normalize_key(file_key)
            if key in self.fails_at:
                raise {"down": BackendUnavailable, "refused": StorageError}[self.fails_at[key]](f"{key} failed")
            if if_absent and key in self.objects:
                raise ObjectExists(key)
            if f"before {key}" in self.meanwhile:
                self.meanwhile.pop(f"before {key}")()
            content = await read_all(file_data)
            if if_absent and key in self.objects:
                raise ObjectExists(key)
            self.objects[key] = (content, content_type, dict(metadata or {}))
            self.stored_at[key] = self.now
            if f"after {key}" in self.meanwhile:
                self.meanwhile.pop(f"after {key}")()
            return f"acme:{key}"

        def found(self, file_key):
            key = normalize_key(file_key)
            if key not in self.objects:
                raise ObjectNotFound(key)
            return self.objects[key]

        async def download(self, file_key):
            content = self.found(file_key)[0]
            if content == b"broken":
                raise BackendUnavailable("the connection broke")
            return content

        async def stat(self, file_key):
            content, content_type, metadata = self.found(file_key)
            moment = self.stored_at.get(normalize_key(file_key), datetime(2026, 11, 24, 3, 0, tzinfo=UTC))
            return ObjectInfo(normalize_key(file_key), len(content), content_type, "e", moment, metadata)

        async def list(self, prefix="", *, limit=None):
            for key in sorted(key for key in self.objects if key.startswith(prefix))[:limit]:
                yield await self.stat(key)

        async def copy(self, source_key, target_key):
            self.copies.append((source_key, target_key))
            self.objects[normalize_key(target_key)] = self.found(source_key)
            return f"acme:{target_key}"

        async def get_url(self, file_key, expires_in=3600):
            return f"https://example.org/{normalize_key(file_key)}?for={expires_in}"

        async def get_upload_url(self, file_key, expires_in=3600, *, content_type="x"):
            return f"/upload/{normalize_key(file_key)}?type={content_type}"

        async def delete(self, file_key):
            return self.objects.pop(normalize_key(file_key), None) is not None
"""


def backend() -> Any:
    """Return the backend's class."""
    return sys.modules["acme_storage_acme_module"].Backend


def objects(store: str = "main") -> dict[str, tuple[bytes, str, dict[str, str]]]:
    """Return what is in a store: content, type and metadata by key."""
    found: dict[str, tuple[bytes, str, dict[str, str]]] = backend().stores[store]
    return found


def run(*arguments: str, stdin: bytes = b"") -> Result:
    """Run a command of `indiaai storage`, and return what came of it."""
    result = CliRunner().invoke(build_app(), ["storage", *arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result
