"""`indiaai db copy`: a copy with its progress on the terminal; imported by the command."""

from __future__ import annotations

import sys
import time

import typer

from indiaai_db.copying.copy import TableCopied, copy_database
from indiaai_db.factory import get_database_service

__all__ = ["copy"]


async def copy(source: str, target: str | None) -> None:
    """Copy between two named instances, and say how far it is and what was copied."""
    began = time.monotonic()
    async with get_database_service(source) as reading, get_database_service(target) as writing:
        counts = await copy_database(reading, writing, on_progress=_tell)
    seconds = time.monotonic() - began
    typer.echo(f"{sum(counts.values()):,} rows of {len(counts)} tables in {seconds:.1f} s")


def _tell(copied: TableCopied) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{copied.table}: {copied.rows:,} rows", err=True, nl=copied.is_done)
    elif copied.is_done:
        typer.echo(f"{copied.table}: {copied.rows:,} rows", err=True)
