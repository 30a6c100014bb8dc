"""How `indiaai storage cp` is to copy, and what makes no sense; imported by the copying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indiaai_core.cli.location import STANDARD, Location, Place
from indiaai_core.cli.objects import is_somebody_there

__all__ = ["Manner", "faults", "is_folder"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How things are copied.

    Attributes:
        content_type: The type to store; None: an object's own, or what a file's name says.
        is_recursive: Whether all that is below a folder is meant.
        spares: Whether what is there already is left.
        updates: Whether what is there already is left unless it is older; with `spares` whatever it is, and without a word.
        deletes: Whether the target loses what the source does not have.
        is_confirmed: Whether nobody is to be asked before that.
        is_rehearsal: Whether to print what would be done, and do nothing.
        as_json: Whether a program reads it.
    """

    content_type: str | None = None
    is_recursive: bool = False
    spares: bool = False
    updates: bool = False
    deletes: bool = False
    is_confirmed: bool = False
    is_rehearsal: bool = False
    as_json: bool = False


def faults(source: Place, target: Place, *, manner: Manner) -> Iterator[str]:
    """Say what was asked wrongly."""
    if not isinstance(source, Location) and not isinstance(target, Location):
        yield "Neither is in a store: write :KEY for a place in the store, or NAME:KEY for a named one."
    if manner.is_recursive and STANDARD in (source, target):
        yield "A standard stream is one object: leave out --recursive."
    if manner.as_json and target == STANDARD:
        yield "Standard output is the object itself: leave out --json."
    if source == STANDARD and is_folder(target):
        yield f"Standard input has no name: write the whole key, such as {target}name."
    if isinstance(source, Path) and source.is_dir() and not manner.is_recursive:
        yield f"{source} is a folder. To copy what is in it, add --recursive."
    if isinstance(source, Path) and manner.is_recursive and not source.is_dir():
        yield f"{source} is no folder."
    if manner.updates:
        yield from _faults_of_updates(source, target, manner)
    elif manner.deletes:
        yield "--delete goes with --recursive --update: the target is then as the source is."


def _faults_of_updates(source: Place, target: Place, manner: Manner) -> Iterator[str]:
    if STANDARD in (source, target):
        yield "A standard stream is neither older nor newer: leave out --update."
    if manner.deletes and manner.spares:
        yield "--no-clobber leaves what is there, --delete makes it as the source is: leave one out."
    if manner.deletes and not (manner.is_recursive and isinstance(source, Location) and isinstance(target, Location)):
        yield "--delete is for what is below a folder of a store, in another store: --recursive NAME:KEY NAME:KEY."
    if manner.deletes and not (manner.is_confirmed or manner.is_rehearsal or is_somebody_there()):
        yield "--delete deletes for good, and nobody is here to be asked. To go ahead, add --yes; to look first, --dry-run."


def is_folder(target: Place) -> bool:
    """Return whether what is copied there takes its own name along."""
    if isinstance(target, Location):
        return not target.key or target.key.endswith("/")
    return isinstance(target, Path) and target.is_dir()
