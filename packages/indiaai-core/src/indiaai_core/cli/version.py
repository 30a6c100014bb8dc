"""The version that `indiaai --version` prints; imported by the script, before anything heavy, and by the commands."""

from __future__ import annotations

import sys

__all__ = ["print_version"]


def print_version() -> None:
    """Print the version of the core's distribution."""
    from importlib_metadata import version

    sys.stdout.write(f"indiaai {version('indiaai-core')}\n")
