"""Settings and services for a store of the tests; imported by the fixtures, and by tests that make their own."""

from __future__ import annotations

from collections.abc import Callable

from indiaai_storage_r2 import R2Settings, R2StorageService
from r2.server import ACCESS_KEY_ID, SECRET

__all__ = ["ACCESS_KEY_ID", "SECRET", "ServiceMaker", "make_settings"]

ServiceMaker = Callable[..., R2StorageService]


def make_settings(endpoint: str, bucket: str = "bucket", **values: object) -> R2Settings:
    """Return settings for a store of the tests."""
    return R2Settings.model_validate(
        {
            "endpoint_url": endpoint,
            "bucket_name": bucket,
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SECRET,
            "part_size_mib": 5,
            **values,
        }
    )
