"""Fixtures of the tests that hold today's code against what was built and stored before, and is kept beside this."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `kept`, which says what was stored


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the asynchronous tests run on."""
    return "asyncio"
