"""The storage layer: objects of bytes under keys."""

from indiaai_core.storage.factory import get_storage_service
from indiaai_core.storage.headers import check_cache_control, check_content_disposition, check_content_type
from indiaai_core.storage.keys import (
    MAX_EXPIRY_SECONDS,
    MAX_KEY_BYTES,
    check_expiry,
    check_metadata,
    check_range,
    normalize_key,
    normalize_prefix,
)
from indiaai_core.storage.layer import LAYER
from indiaai_core.storage.payloads import read_all
from indiaai_core.storage.service import DEFAULT_CHUNK_SIZE, FileData, ObjectInfo, StorageService

__all__ = [
    "DEFAULT_CHUNK_SIZE",
    "LAYER",
    "MAX_EXPIRY_SECONDS",
    "MAX_KEY_BYTES",
    "FileData",
    "ObjectInfo",
    "StorageService",
    "check_cache_control",
    "check_content_disposition",
    "check_content_type",
    "check_expiry",
    "check_metadata",
    "check_range",
    "get_storage_service",
    "normalize_key",
    "normalize_prefix",
    "read_all",
]
