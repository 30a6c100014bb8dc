"""The conformance suite against Swift, which is production software with its own idea of S3's details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fetch import fetch_with
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.storage import Fetch
from indiaai_storage_r2 import R2StorageService


class TestOnSwift(StorageConformance):
    """On the data plane that is used unless another is asked for; `LACKS` says what Swift does not bear out."""

    @pytest.fixture
    async def service(self, swift_bucket: dict[str, Any], make_service: Callable[..., R2StorageService]) -> R2StorageService:
        """A service on an empty bucket."""
        return make_service(**swift_bucket)

    @pytest.fixture
    async def second_service(
        self, swift_bucket: dict[str, Any], make_service: Callable[..., R2StorageService]
    ) -> R2StorageService:
        """Another service on the same bucket."""
        return make_service(**swift_bucket)

    @pytest.fixture
    def http(self) -> Fetch:
        """Any client."""
        return fetch_with()
