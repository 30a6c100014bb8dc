"""The tutorial that writes a plugin, followed to the letter; what comes out is examples/indiaai-storage-s3."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from environments import ROOT, built_wheel
from following import IN_A_SECOND_TERMINAL, Block, Follower, blocks

PAGE = (ROOT / "docs" / "tutorial" / "first-plugin.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "indiaai-storage-s3"
FIRST_STAGE_ENDS = PAGE.index("\n## What is still wrong with it\n")
PORT = "5555"
"""The port on the page; the test takes one that is free."""

PIECES = [block for block in blocks(PAGE) if block.name and block.offset > FIRST_STAGE_ENDS]
MODULES = sorted(EXAMPLE.glob("src/**/*.py"))


def lines(text: str) -> list[str]:
    """Return the lines of a text that are not blank: how many of those stand between two pieces is no matter."""
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("block", PIECES, ids=lambda block: f"{block.name}:{block.offset}")
def test_a_block_of_the_tutorial_is_a_piece_of_the_finished_backend(block: Block) -> None:
    """Whoever copies the block has what was tested."""
    assert block.text.rstrip() in (EXAMPLE / block.name).read_text("utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_tutorial_shows_every_line_of_the_backend(path: Path) -> None:
    """The pieces of a module, one after another, are the module: nothing is left for the reader to guess."""
    shown = "\n".join(block.text for block in PIECES if EXAMPLE / block.name == path)

    assert lines(shown) == lines(path.read_text("utf-8"))


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    """Somebody with Python and a terminal, and nothing else."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    with Follower(tmp_path, {"PATH": path, "PIP_NO_COMPILE": "1", "PIP_PROGRESS_BAR": "off"}) as somebody:
        yield somebody


def test_the_tutorial_can_be_followed_from_its_first_line_to_its_last(follower: Follower) -> None:
    """Every file is written and every command run as it stands; what is shown is printed, and the whole suite passes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    for block in blocks(PAGE):
        if block == PIECES[0]:
            follower.written.clear()  # what the first stage wrote is replaced, and not added to
        follow(follower, replace(block, text=block.text.replace(PORT, port)), port=int(port))

    made = follower.folder.glob("src/**/*.py")
    assert sorted(path.name for path in made) == [path.name for path in MODULES]
    assert list(follower.folder.glob("dist/*.whl"))


def follow(somebody: Follower, block: Block, *, port: int) -> None:
    """Do what a block tells."""
    if block.name:
        somebody.write(block.name, block.text)
    elif block.text.startswith(IN_A_SECOND_TERMINAL):
        somebody.serve(block.text.removeprefix(IN_A_SECOND_TERMINAL).strip(), port=port)
    elif block.kind == "console":
        somebody.compare(block.text)
    elif block.kind == "sh":
        somebody.run(block.text)
        if "-m venv" in block.text:
            # No index is asked for one of our names, under which there might be a stranger's distribution.
            somebody.run(f"pip install -q {built_wheel('indiaai-core')}")
