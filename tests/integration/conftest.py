"""Fixtures of the tests that put several packages together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that test modules here share


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packages of strangers, which are not installed here: to be put on a process's PYTHONPATH."""
    target = tmp_path_factory.mktemp("strangers")
    folders = [path.parent for path in Path(__file__).parents[2].glob("examples/indiaai-*/pyproject.toml")]
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        f"{target}",
        *map(str, folders),
    ]
    subprocess.run(command, check=True, timeout=300)
    return target
