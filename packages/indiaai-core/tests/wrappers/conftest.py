"""What the wrappers stand in front of."""

from __future__ import annotations

import pytest

from wrapper_fakes import Echo


@pytest.fixture
def echo() -> Echo:
    """A stranger's service."""
    return Echo()
