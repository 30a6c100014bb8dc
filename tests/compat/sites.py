"""Wheels that were kept, installed beside today's core; imported by the tests of what they still do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.version import Version

__all__ = ["CLI", "SECONDS", "Run", "install", "run", "wheels"]

FOLDER = Path(__file__).parent
SECONDS = 300
Run = Callable[..., str]
CLI = ("-c", "from indiaai_core.cli import main; main()")


def wheels(name: str) -> list[Path]:
    """Return the kept wheels of a distribution, the oldest first."""
    return sorted(FOLDER.glob(f"{name}-*.whl"), key=lambda path: Version(path.name.split("-")[1]))


def install(wheel: Path, target: Path) -> Path:
    """Install a wheel into a folder, without what it needs, and return the folder."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", f"{target}", f"{wheel}"]
    subprocess.run(command, check=True, timeout=SECONDS)
    return target


def run(*command: str, site: Path, folder: Path, variables: Mapping[str, str]) -> str:
    """Run a program in a folder, with a site on its path, and return what it prints; warnings are errors."""
    environment = {**os.environ, "PYTHONPATH": f"{site}", "PYTHONUTF8": "1", "PYTHONWARNINGS": "error", **variables}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-6000:]
    return ended.stdout
