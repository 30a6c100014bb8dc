"""What the chaos tests of the queue share, and the summary of what they counted; `nox -s chaos` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crew import Ledger
from redisserver import RedisServer, find_programs

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


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger(tmp_path / "runs")


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """What starts a redis-server of the test's own, with options; it is stopped after the test."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        program = next(iter(find_programs().values()))
        servers.append(RedisServer(program, tmp_path / f"redis-{len(servers)}", *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
