"""Fixtures of the tests that run what the README and the tutorial show, with what the README installs and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NAMED_BLOCK = re.compile(r"^```python\n# (?P<name>[a-z_]+\.py)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[str], Path]:
    """Write the files that a page shows, those whose first line is their name, into an empty folder."""

    def write(page: str) -> Path:
        for block in NAMED_BLOCK.finditer((ROOT / page).read_text("utf-8")):
            (tmp_path / block["name"]).write_text(block["code"], "utf-8")
        return tmp_path

    return write
