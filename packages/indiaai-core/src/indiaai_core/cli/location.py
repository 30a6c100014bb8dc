"""Where an object or a file is, as a person writes it on the command line; imported by the storage commands."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["STANDARD", "Location", "Place", "parse_location", "parse_place"]

STANDARD: Final = "-"
"""Standard input, or standard output."""

_STORE = re.compile(r"(?P<instance>[A-Za-z0-9][A-Za-z0-9_-]*)?:(?P<key>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """A key, or the beginning of keys, in a store.

    Attributes:
        instance: The named instance; None for the main store.
        key: The key.
    """

    instance: str | None
    key: str

    @property
    def folder(self) -> str:
        """What the keys below it begin with: all of them where it is empty."""
        return f"{self.key.rstrip('/')}/" if self.key.rstrip("/") else ""

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.instance or ''}:{self.key}"


Place = Location | Path | str
"""In a store, in the file system, or `STANDARD`."""


def parse_location(text: str) -> Location:
    """Read a place that can only be in a store: `archive:bills/1.pdf`, or `bills/1.pdf` for the main one."""
    found = _STORE.fullmatch(text)
    return Location(found["instance"], found["key"]) if found else Location(None, text)


def parse_place(text: str) -> Place:
    """Read a place: `archive:key` or `:key` in a store, `-` for a standard stream, and anything else for a path."""
    if text == STANDARD:
        return STANDARD
    is_drive = os.name == "nt" and re.match(r"[A-Za-z]:[\\/]", text)
    found = None if is_drive else _STORE.fullmatch(text)
    return Location(found["instance"], found["key"]) if found else Path(text).expanduser()
