"""The way to the current storage service; imported by applications."""

from __future__ import annotations

from typing import cast

from indiaai_core.platform import get_service
from indiaai_core.storage.service import StorageService

__all__ = ["get_storage_service"]


def get_storage_service(name: str | None = None) -> StorageService:
    """Return the storage service of the current platform: made at the first call, the same one after that.

    Args:
        name: A named instance, whose variables are read with the prefix `<NAME>_` first; None for the main one.

    Raises:
        ConfigurationError: The backend that `STORAGE_TYPE` selects is not installed, does not load or is not set up.
    """
    return cast(StorageService, get_service("storage", name))
