"""Fixtures of the command line's tests: a queue that is shared, as far as a test can see, and a log that stays as it is."""

from __future__ import annotations

import logging
import sys

import pytest

from installed import SitePackages
from shared_queue import SHARED_QUEUE


@pytest.fixture
def shared_queue(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Select a queue whose tasks any service of this process sees."""
    site.backend("acme", layer="queue", source=SHARED_QUEUE)
    monkeypatch.setenv("QUEUE_TYPE", "acme")
    monkeypatch.setenv("ACME_URL", "acme://user:secret@example.org/1")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the log and the path as they are: what a command sets up would stay for the tests that follow."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(sys, "path", list(sys.path))
