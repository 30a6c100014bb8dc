"""Fixtures of the tests that kill and cut what an application runs on; `nox -s chaos` runs them."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
