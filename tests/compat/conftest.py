"""Fixtures of the tests that hold today's code against what was built and stored before, and is kept beside this."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `kept`, which says what was stored, and for `sites`
import sites


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the asynchronous tests run on."""
    return "asyncio"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a site once with each of the wheels that its module is about."""
    if "site" in metafunc.fixturenames:
        wheels: list[Path] = vars(metafunc.module)["WHEELS"]
        metafunc.parametrize("site", wheels, indirect=True, ids=lambda path: path.name, scope="module")


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which a stored wheel is installed, beside today's core."""
    return sites.install(request.param, tmp_path_factory.mktemp("site"))


@pytest.fixture
def run(request: pytest.FixtureRequest, site: Path, tmp_path: Path) -> sites.Run:
    """Return what runs a program in an empty folder, with the module's variables, and gives what it prints."""

    def call(*command: str, **variables: str) -> str:
        return sites.run(*command, site=site, folder=tmp_path, variables={**request.module.VARIABLES, **variables})

    return call
