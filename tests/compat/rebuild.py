"""Builds the wheels of the plugin and of the layer anew from the sources beside this.

Run it as `uv run --with build --with hatchling tests/compat/rebuild.py`. A wheel that is kept here was built once, against the
release whose number its own version has, and is not touched again: it is what plugins look like that were published then. For a
new release raise the versions in the two projects, let both use what the release brought, and run this: one more wheel of each
is kept, beside the older ones. What a release stores, keep.py keeps.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
PROJECTS = {"pyproject.toml": "acme_trunk", "acme_pigeon.toml": "acme_pigeon"}


def main() -> None:
    """Build the wheels into this folder, with the build backend that is installed."""
    for project, package in PROJECTS.items():
        with tempfile.TemporaryDirectory() as source:
            shutil.copy(FOLDER / project, f"{source}/pyproject.toml")
            shutil.copytree(FOLDER / package, f"{source}/{package}", ignore=shutil.ignore_patterns("__pycache__"))
            command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", f"{FOLDER}", source]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
