"""The hooks of this layer; loaded through the group `indiaai.hooks` by every platform, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any

from indiaai_core.hooks import hookimpl

__all__ = ["add_commands"]


@hookimpl
def add_commands(app: Any) -> None:
    """Add `indiaai db …` to the command line."""
    from indiaai_db.commands import build_commands

    app.add_typer(build_commands(), name="db")
