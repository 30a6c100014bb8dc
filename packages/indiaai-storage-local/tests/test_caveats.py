"""What an operator is told of a directory that serves: that it is in memory, and nothing of one that is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from indiaai_core.mounts import forgetful_mount
from indiaai_storage_local import LocalSettings, LocalStorageService

pytestmark = pytest.mark.anyio


async def test_a_directory_in_memory_is_told() -> None:
    """A restart would empty it: the mount and the variable are named."""
    if forgetful_mount("/dev/shm") is None or not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no file system in memory at /dev/shm to store in")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        async with LocalStorageService(LocalSettings(path=Path(folder) / "store")) as service:
            await service.probe()
            (caveat,) = await service.caveats()

    assert caveat.variable == "LOCAL_STORAGE_PATH"
    assert "a restart of this machine empties /dev/shm" in caveat.found
    assert caveat.remedy


async def test_a_directory_on_a_disk_alarms_nobody(monkeypatch: pytest.MonkeyPatch, service: LocalStorageService) -> None:
    """There is nothing to tell, and nothing is left of the round trip."""
    monkeypatch.setattr("indiaai_storage_local.service.forgetful_mount", lambda _: None)  # tests may run in memory

    await service.probe()

    assert list(await service.caveats()) == []
    assert [info async for info in service.list()] == []
