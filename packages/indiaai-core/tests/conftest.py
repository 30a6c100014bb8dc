"""Fixtures of the core's tests: an environment without a stray variable, and a path with nothing but the core on it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from indiaai_core import discovery, platform, scan

sys.path.insert(0, str(Path(__file__).parent))  # for `installed`, which several test modules share
from installed import CORE_VERSION, LAYERS, SitePackages


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every test starts in an empty folder, without variables of ours, without a platform."""
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.endswith("_TYPE") or variable.startswith(("INDIAAI_", "ACME_", "LOCAL_STORAGE_")):
            monkeypatch.delenv(variable)
    monkeypatch.setattr(platform, "_default", None)
    monkeypatch.setattr(platform, "_entered", [])
    discovery.refresh()
    yield
    discovery.refresh()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SitePackages]:
    """A path on which discovery sees the core and what the test installs, and nothing of this machine's."""
    folder = tmp_path_factory.mktemp("site-packages")
    packages = SitePackages(folder)
    packages.install("indiaai-core", version=CORE_VERSION, entry_points=LAYERS)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    monkeypatch.setattr(discovery, "scan", lambda: scan.scan([str(folder)]))
    discovery.refresh()
    yield packages
    packages.close()
