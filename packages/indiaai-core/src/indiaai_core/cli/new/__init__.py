"""`indiaai new`: begins packages for authors."""

from indiaai_core.cli.new.commands import build_new_app

__all__ = ["build_new_app"]
