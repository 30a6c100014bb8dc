"""The conformance suite against `rclone serve s3`, which is fast and lax, and fails where R2 would not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fetch import fetch_with
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.storage import Fetch
from indiaai_storage_r2 import R2StorageService


class TestOnRclone(StorageConformance):
    """On the data plane that is used unless another is asked for; `LACKS` says what rclone does not bear out.

    Nothing is asked for again: rclone answers with what R2 says of a passing fault where it will never do.
    """

    @pytest.fixture
    async def service(self, rclone_bucket: tuple[str, str], make_service: Callable[..., R2StorageService]) -> R2StorageService:
        """A service on an empty bucket."""
        endpoint, bucket = rclone_bucket
        return make_service(endpoint, bucket=bucket, read_timeout_seconds=5, retry_seconds=0)

    @pytest.fixture
    async def second_service(
        self, rclone_bucket: tuple[str, str], make_service: Callable[..., R2StorageService]
    ) -> R2StorageService:
        """Another service on the same bucket."""
        endpoint, bucket = rclone_bucket
        return make_service(endpoint, bucket=bucket, read_timeout_seconds=5, retry_seconds=0)

    @pytest.fixture
    def http(self) -> Fetch:
        """Any client."""
        return fetch_with()
