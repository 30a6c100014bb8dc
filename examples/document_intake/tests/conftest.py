"""The application under a real uvicorn, on whatever the environment selects, with its data in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# The application is a folder of modules, as `uvicorn main:app` finds it; the tests find it, and each other, the same way.
sys.path[:0] = [str(HERE.parent), str(HERE)]

from application import Application  # noqa: E402 - found by the path that was just set


@pytest.fixture(scope="session")
def shared_application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Return a running application that many tests use: none of them may mind the others' documents."""
    with Application(tmp_path_factory.mktemp("application")) as application:
        yield application


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Application]]:
    """Return a function that starts an application for this test alone, with settings of its own."""
    started: list[Application] = []

    def start_one(**settings: str) -> Application:
        application = Application(tmp_path / "application", **settings)
        started.append(application)
        return application.start()

    yield start_one
    for application in started:
        application.stop()
