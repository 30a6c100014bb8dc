"""The conformance suite on the R2 rule server: over http, and over TLS on both data planes.

On other stores, and on the second data plane over http, it runs in `integration`.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fetch import fetch_with
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.storage import Fetch
from indiaai_storage_r2 import R2StorageService
from making import ServiceMaker
from r2 import R2Server


class TestOnRules(StorageConformance):
    """Against the R2 rule server, which refuses what R2 refuses."""

    @pytest.fixture
    async def service(self, server: R2Server, make_service: ServiceMaker) -> R2StorageService:
        """A service on an empty bucket."""
        return make_service(server.endpoint)

    @pytest.fixture
    async def second_service(self, server: R2Server, make_service: ServiceMaker) -> R2StorageService:
        """Another service on the same bucket."""
        return make_service(server.endpoint)

    @pytest.fixture
    def http(self) -> Fetch:
        """Any client."""
        return fetch_with()


class TestOnRulesOverTls(StorageConformance):
    """The same over TLS 1.3, where clients send bodies in other ways."""

    @pytest.fixture
    async def service(self, tls_server: R2Server, make_service: ServiceMaker, plane: str) -> R2StorageService:
        """A service on an empty bucket."""
        return make_service(tls_server.endpoint, data_plane=plane)

    @pytest.fixture
    async def second_service(self, tls_server: R2Server, make_service: ServiceMaker, plane: str) -> R2StorageService:
        """Another service on the same bucket."""
        return make_service(tls_server.endpoint, data_plane=plane)

    @pytest.fixture
    def http(self, tmp_path: Path) -> Fetch:
        """Any client that trusts the server's certificate."""
        return fetch_with(ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
