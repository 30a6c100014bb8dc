"""The conformance suite against `rclone serve s3`, which is fast and lax, and fails where R2 would not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from fetch import fetch_with
from indiaai_core import BackendUnavailable
from indiaai_core.testing import StorageConformance
from indiaai_core.testing.storage import Fetch
from indiaai_storage_r2 import R2StorageService
from proxy import FaultProxy

MIB = 1024 * 1024


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


@pytest.mark.anyio
async def test_a_store_that_is_killed_in_the_middle_of_an_upload_keeps_the_old(
    tmp_path: Path,
    make_service: Callable[..., R2StorageService],
    run_rclone: Callable[[Path], AbstractContextManager[str]],
    plane: str,
) -> None:
    """A store that was killed and started again knows nothing of the parts: the old object stays, and a second upload works."""
    content = bytes(range(256)) * (48 * 1024)
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    with ExitStack() as store, FaultProxy(store.enter_context(run_rclone(tmp_path))).running() as proxy:
        service = make_service(proxy.endpoint, data_plane=plane)
        await service.upload("key", b"old")

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), MIB):
                if start == 8 * MIB:
                    store.close()
                    proxy.store = store.enter_context(run_rclone(tmp_path))
                yield content[start : start + MIB]

        with pytest.raises(BackendUnavailable, match=r"was restarted.*Upload it again"):
            await service.upload("key", chunks())
        found = await service.download("key")
        await service.upload("key", content)

        assert found == b"old"
        assert await service.download("key") == content
