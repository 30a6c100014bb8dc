"""Two stores behind the wrapper `mirror` keep every promise of one, whether the second is read from or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from indiaai_core.testing import StorageConformance
from indiaai_core.wrappers.mirror import with_mirror
from indiaai_storage_local import LocalSettings, LocalStorageService

LEFT_BEHIND = {
    "test_a_cancelled_upload_leaves_the_old_object": "what is cancelled ends before the second store has it, and tells so",
    "test_a_cancelled_upload_is_over": "likewise",
    "test_a_service_may_be_closed_under_way": "likewise, of what a closed service was at",
    "test_a_client_puts_an_object": "a link to PUT by is the first store's, and nobody hears of what comes by it",
    "test_an_expired_or_moved_url_is_refused": "likewise",
}


@pytest.fixture
async def mirrors(tmp_path: Path) -> AsyncIterator[list[LocalStorageService]]:
    """Two services on the store that is second, each for a service on the first."""
    services = [LocalStorageService(LocalSettings(path=tmp_path / "mirror")) for _ in range(2)]
    yield services
    for service in services:
        await service.aclose()


class TestMirroredLocalStorage(StorageConformance):
    """Two services on two stores each; the second store is written to and not read from."""

    fallback = False

    @pytest.fixture
    async def service(self, service: LocalStorageService, mirrors: list[LocalStorageService]) -> Any:
        """Put the mirror in front of the service of this folder."""
        return with_mirror(service, mirrors[0], fallback=self.fallback)

    @pytest.fixture
    async def second_service(self, second_service: LocalStorageService, mirrors: list[LocalStorageService]) -> Any:
        """Put it in front of the other one."""
        return with_mirror(second_service, mirrors[1], fallback=self.fallback)

    @pytest.fixture(autouse=True)
    async def _alike(
        self, service: Any, root: Path, mirrors: list[LocalStorageService], request: pytest.FixtureRequest
    ) -> AsyncIterator[None]:
        """After each test, whatever it did at once, the second store is as the first is."""
        yield
        async with LocalStorageService(LocalSettings(path=root)) as first:
            found = [{info.key: info.etag async for info in store.list()} for store in (first, mirrors[0])]
        if request.node.name.partition("[")[0] not in LEFT_BEHIND:
            assert found[0] == found[1]


class TestReadFromBoth(TestMirroredLocalStorage):
    """The same, and what the first does not have is read from the second."""

    fallback = True
