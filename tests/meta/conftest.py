"""Fixtures of the tests that hold the house's rules. They read the tree, start no server and ask no network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `house`, which every test module here imports


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person accept that public names came or went."""
    parser.addoption("--accept-public-names", action="store_true", help="write tests/meta/public_names.txt anew")
