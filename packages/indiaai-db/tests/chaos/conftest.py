"""What the chaos tests of the database share, and the summary of what they counted; `nox -s chaos` runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

COUNTED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing counted."""
    config.stash[COUNTED] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What a test gives its figures to; they are printed at the end of the run, whether it passed or not."""
    lines = request.config.stash.setdefault(COUNTED, [])
    return lambda text: lines.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what was counted."""
    for line in config.stash.get(COUNTED, []):
        terminalreporter.write_line(line)
