"""The conformance suite on moto, and on the R2 rule server as boto3 asks it over http."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fetch import fetch_with
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.storage import Fetch
from indiaai_storage_r2 import R2StorageService
from r2 import R2Server


class TestOnMoto(StorageConformance):
    """Against moto, which knows S3's conditions and multipart uploads and takes any signature."""

    @pytest.fixture
    async def service(self, moto_bucket: tuple[str, str], make_service: Callable[..., R2StorageService]) -> R2StorageService:
        """A service on an empty bucket."""
        endpoint, bucket = moto_bucket
        return make_service(endpoint, bucket=bucket)

    @pytest.fixture
    async def second_service(
        self, moto_bucket: tuple[str, str], make_service: Callable[..., R2StorageService]
    ) -> R2StorageService:
        """Another service on the same bucket."""
        endpoint, bucket = moto_bucket
        return make_service(endpoint, bucket=bucket)

    @pytest.fixture
    def http(self) -> Fetch:
        """Any client."""
        return fetch_with()


class TestOnRulesWithBoto3(StorageConformance):
    """Against the R2 rule server, without the lean data plane; over TLS it is the package's own tests that do this."""

    @pytest.fixture
    async def service(self, server: R2Server, make_service: Callable[..., R2StorageService]) -> R2StorageService:
        """A service on an empty bucket."""
        return make_service(server.endpoint, data_plane="boto3")

    @pytest.fixture
    async def second_service(self, server: R2Server, make_service: Callable[..., R2StorageService]) -> R2StorageService:
        """Another service on the same bucket."""
        return make_service(server.endpoint, data_plane="boto3")

    @pytest.fixture
    def http(self) -> Fetch:
        """Any client."""
        return fetch_with()
