"""How the commands print: tables and colours for people, JSON for programs; honours `NO_COLOR` and a pipe."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

__all__ = [
    "Progress",
    "print_check",
    "print_failure",
    "print_json",
    "print_notes",
    "print_table",
    "print_text",
]

PIPE_SECONDS = 5.0
TERMINAL_SECONDS = 0.1
"""How often progress is told: a line in a log, and what replaces itself on a terminal."""

_JOINERS = "\u200c\u200d"  # invisible, and a part of words in Indian scripts


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    sys.stdout.write(f"{json.dumps(value, ensure_ascii=False, indent=2, default=str)}\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal; in a pipe each row is one line with tabs, for `cut` and `awk`."""
    if not sys.stdout.isatty():
        for row in [headings, *rows]:
            sys.stdout.write("\t".join(_printable(" ".join(cell.splitlines()).replace("\t", " ")) for cell in row) + "\n")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell), style="red" if cell.startswith("ERROR") else "") for cell in row))
    Console().print(table)


def print_text(text: str) -> None:
    """Print lines as they are."""
    sys.stdout.write(f"{_printable(text)}\n")


def print_check(name: str, detail: str, *, is_ok: bool, is_caveat: bool = False, remedy: str = "") -> None:
    """Print what one check found, and what mends it; a caveat is a warning unless it is not ok."""
    label, colour = ("FAIL", "31") if not is_ok else ("warn", "33") if is_caveat else ("ok  ", "32")
    _write(label, f"{name}: {detail}", colour=colour)
    if remedy and (is_caveat or not is_ok):
        _write("    ", f"to mend it: {remedy}", colour="0")


def print_notes(notes: Iterable[str]) -> None:
    """Print what is worth knowing and stops nothing."""
    for note in notes:
        _write("note", note, colour="33")


def print_failure(message: str) -> None:
    """Print to the error stream why a command cannot go on."""
    sys.stderr.write(f"{_printable(message)}\n")


class Progress:
    """Tells on the error stream how far long work is, not too often; a context manager."""

    def __init__(self, participle: str, total: int | None) -> None:
        """Begin at nothing.

        Args:
            participle: What is done to each, such as `requeued`.
            total: How many there are; None where nobody knows.
        """
        self._participle = participle
        self._of = f" of {total}" if total is not None else ""
        self._is_terminal = sys.stderr.isatty()
        self._seconds = TERMINAL_SECONDS if self._is_terminal else PIPE_SECONDS
        self._told_at = time.monotonic()
        self._count = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave a terminal as it was."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")

    def advance(self, count: int = 1) -> None:
        """Count one more, or so many."""
        self._count += count
        if time.monotonic() - self._told_at >= self._seconds:
            self._told_at = time.monotonic()
            line = f"{self._count}{self._of} {self._participle}"
            sys.stderr.write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
            sys.stderr.flush()


def _printable(text: str) -> str:
    # What a task's error says may be anybody's: a control character in it must not steer the terminal.
    if text.isprintable():
        return text
    return "".join(
        it if it.isprintable() or it in "\n\t" or it in _JOINERS else it.encode("unicode_escape").decode() for it in text
    )


def _write(label: str, text: str, *, colour: str) -> None:
    import os

    text = _printable(text)
    is_plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    sys.stdout.write(f"{label} {text}\n" if is_plain else f"\x1b[{colour}m{label}\x1b[0m {text}\n")
