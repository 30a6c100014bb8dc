"""The command line `indiaai`."""

from indiaai_core.cli.entry import main

__all__ = ["main"]
