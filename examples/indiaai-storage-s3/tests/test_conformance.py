"""Every promise of the storage layer, kept on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from indiaai_core.testing import StorageConformance
from indiaai_storage_s3 import S3StorageService


class TestS3(StorageConformance):
    """The suite, on moto."""

    @pytest.fixture
    async def service(self, moto: str, make_service: Callable[[str], S3StorageService]) -> S3StorageService:
        """A service on an empty bucket."""
        return make_service(moto)

    @pytest.fixture
    async def second_service(self, moto: str, make_service: Callable[[str], S3StorageService]) -> S3StorageService:
        """Another one on the same bucket."""
        return make_service(moto)
