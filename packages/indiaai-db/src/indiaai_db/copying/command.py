"""`indiaai db copy`: a copy with its progress on the terminal; imported by the command."""

from __future__ import annotations

import sys
import time

import typer

from indiaai_core.cli.instance import require_instance
from indiaai_core.cli.output import print_json
from indiaai_core.platform import current_platform
from indiaai_core.selection import Slot
from indiaai_db.copying.copy import TableCopied, copy_database
from indiaai_db.factory import get_database_service
from indiaai_db.layer import LAYER

__all__ = ["copy"]


async def copy(source: str, target: str | None, *, as_json: bool = False) -> None:
    """Copy between two named instances, and say how far it is and what was copied.

    Raises:
        ConfigurationError: No variable is set for a name: it would be the main database.
    """
    for name in (source, target):
        require_instance(Slot(LAYER.name, name), current_platform().environment)
    began = time.monotonic()
    async with get_database_service(source) as reading, get_database_service(target) as writing:
        counts = await copy_database(reading, writing, on_progress=_tell)
    seconds = time.monotonic() - began
    if as_json:
        print_json({"tables": counts, "rows": sum(counts.values()), "seconds": round(seconds, 3)})
        return
    typer.echo(f"{sum(counts.values()):,} rows of {len(counts)} tables in {seconds:.1f} s")


def _tell(copied: TableCopied) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{copied.table}: {copied.rows:,} rows", err=True, nl=copied.is_done)
    elif copied.is_done:
        typer.echo(f"{copied.table}: {copied.rows:,} rows", err=True)
