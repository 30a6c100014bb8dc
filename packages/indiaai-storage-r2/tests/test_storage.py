"""The conformance suite, against a server that speaks S3."""

from __future__ import annotations

import pytest

from conftest import ServiceMaker
from indiaai_core.testing import StorageConformance
from indiaai_storage_r2 import R2StorageService


class TestOnMoto(StorageConformance):
    """Against moto, which knows S3's conditions and multipart uploads and takes any signature."""

    @pytest.fixture
    async def service(self, moto_bucket: tuple[str, str], make_service: ServiceMaker) -> R2StorageService:
        """A service on an empty bucket."""
        endpoint, bucket = moto_bucket
        return make_service(endpoint, bucket=bucket)

    @pytest.fixture
    async def second_service(self, moto_bucket: tuple[str, str], make_service: ServiceMaker) -> R2StorageService:
        """Another service on the same bucket."""
        endpoint, bucket = moto_bucket
        return make_service(endpoint, bucket=bucket)
