"""Builds the plugin's wheel anew from the source beside it: `uv run --with build --with hatchling tests/compat/rebuild.py`.

A wheel that is kept here was built once, against the release whose number its own version has, and is not touched again: it is
what plugins look like that were published then. For a new release raise the version in pyproject.toml, let the
plugin use what the release brought, and run this: one more wheel is kept, beside the older ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Build the wheel into this folder, with the build backend that is installed."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", f"{FOLDER}", f"{FOLDER}"], check=True
    )


if __name__ == "__main__":
    main()
