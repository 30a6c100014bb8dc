"""The tutorial that makes a layer, followed to the letter."""

from __future__ import annotations

import sys
from pathlib import Path

from environments import ROOT, built_wheel
from following import Follower, blocks

PAGE = (ROOT / "docs" / "tutorial" / "first-layer.md").read_text("utf-8")


def test_the_tutorial_can_be_followed_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """Every file is written and every command run as it stands; what is shown is printed, and both backends pass the suite."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    with Follower(tmp_path, {"PATH": path, "PIP_NO_COMPILE": "1", "PIP_PROGRESS_BAR": "off"}) as somebody:
        for block in blocks(PAGE):
            if block.name:
                somebody.write(block.name, block.text)
            elif block.kind == "console":
                somebody.compare(block.text)
            else:
                somebody.run(block.text)
            if "-m venv" in block.text:
                # No index is asked for one of our names, under which there might be a stranger's distribution.
                somebody.run(f"pip install -q {built_wheel('indiaai-core')}")
