"""The pages for who operates an application: their commands are run, in their order, and print what they show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import PROGRAM
from environments import ROOT
from following import Follower, blocks

PAGES = ["check-a-set-up.md", "operate-a-store.md", "see-the-settings.md"]


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    """Somebody at a terminal in an empty folder, with all packages installed."""
    with Follower(tmp_path, {"PATH": os.pathsep.join([f"{PROGRAM.parent}", os.environ["PATH"]])}) as somebody:
        yield somebody


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_what_happens(follower: Follower, page: str) -> None:
    """Every file that it shows is written, every command run, and what is printed is what stands below it."""
    for block in blocks((ROOT / "docs" / "how-to" / page).read_text("utf-8")):
        if block.name:
            follower.write(block.name, block.text)
        elif block.kind == "console":
            follower.compare(block.text)
        elif block.kind == "sh":
            follower.run(block.text)
