"""How the commands print: tables and colours for people, JSON for programs; honours `NO_COLOR` and a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["print_check", "print_failure", "print_json", "print_notes", "print_table"]


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    sys.stdout.write(f"{json.dumps(value, ensure_ascii=False, indent=2, default=str)}\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal; in a pipe each row is one line with tabs, for `cut` and `awk`."""
    if not sys.stdout.isatty():
        for row in [headings, *rows]:
            sys.stdout.write("\t".join(cell.replace("\n", " ") for cell in row) + "\n")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style="red" if cell.startswith("ERROR") else "") for cell in row))
    Console().print(table)


def print_check(name: str, detail: str, *, is_ok: bool, remedy: str = "") -> None:
    """Print what one check found, and what mends it."""
    _write("ok  " if is_ok else "FAIL", f"{name}: {detail}", colour="32" if is_ok else "31")
    if remedy and not is_ok:
        _write("    ", f"to mend it: {remedy}", colour="0")


def print_notes(notes: Iterable[str]) -> None:
    """Print what is worth knowing and stops nothing."""
    for note in notes:
        _write("note", note, colour="33")


def print_failure(message: str) -> None:
    """Print to the error stream why a command cannot go on."""
    sys.stderr.write(f"{message}\n")


def _write(label: str, text: str, *, colour: str) -> None:
    import os

    is_plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    sys.stdout.write(f"{label} {text}\n" if is_plain else f"\x1b[{colour}m{label}\x1b[0m {text}\n")
