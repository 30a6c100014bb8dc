"""A process that dies at any system call leaves the old object or the new one, and nothing beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the processes that are killed are forked")

SCRIPT = Path(__file__).parent / "crashing.py"

# How many system calls each makes at least: fewer, and the test would have cut nothing.
SCENARIOS = {"replace": 20, "add": 20, "if_absent": 20, "copy": 20, "delete": 15, "sweep": 15, "first_use": 20}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_any_system_call_leaves_old_or_new(scenario: str, tmp_path: Path) -> None:
    """Whatever call a process dies at, what is there is whole, the store serves, and what is left over is swept."""
    outcome = subprocess.run([sys.executable, SCRIPT, tmp_path, scenario], capture_output=True, text=True, check=False)

    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) >= SCENARIOS[scenario]
