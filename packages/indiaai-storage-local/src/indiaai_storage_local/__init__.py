"""The storage backend `local`: objects in a directory, with nothing to install or start."""

from indiaai_storage_local.service import LocalStorageService
from indiaai_storage_local.settings import LocalSettings

__all__ = ["LocalSettings", "LocalStorageService"]
