"""Files that are being written beside those that they will be; imported by `storage cp`.

A draft is locked for as long as its process lives, so a later run knows those that nobody writes any more.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

try:
    import fcntl
except ImportError:  # Windows: there a draft is swept by nobody
    fcntl = None  # type: ignore[assignment] # a module or nothing

__all__ = ["Draft", "is_draft", "sweep"]

_locks: Any = fcntl

_NAME = re.compile(r"\.indiaai-[0-9a-f]{16}\.part")


class Draft:
    """One file that has its name once it is whole; a context manager, whose end leaves nothing else behind."""

    def __init__(self, folder: Path) -> None:
        """Make the file in the folder in which it is to be.

        Raises:
            OSError: The folder takes no file.
        """
        while True:
            self._path = folder / f".indiaai-{secrets.token_hex(8)}.part"
            self.file: BinaryIO = self._path.open("xb")
            # A sweeper that came between the two calls held the lock and removed the file: then another is made.
            if not _lock(self.file, wait=True) or os.fstat(self.file.fileno()).st_nlink:
                return
            self.file.close()

    def put(self, target: Path) -> None:
        """Give the file its name, in the place of one that has it."""
        self.file.flush()
        if _locks is None:  # Windows renames no open file; elsewhere it is locked until it has its name
            self.file.close()
        os.replace(self._path, target)

    def __enter__(self) -> Self:
        """Return the draft."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file, and remove it unless it has its name."""
        try:
            self.file.close()
        finally:
            self._path.unlink(missing_ok=True)


def is_draft(path: Path) -> bool:
    """Return whether a file is a draft, or was one of a process that was killed."""
    return _NAME.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove the drafts in a folder that no process writes any more; what cannot be removed stays."""
    for path in folder.glob(".indiaai-*.part"):
        with suppress(OSError):
            if is_draft(path):
                _remove_if_free(path)


def _remove_if_free(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        if _lock(file, wait=False):
            path.unlink()


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    try:
        if _locks is None:
            return False
        _locks.flock(file.fileno(), _locks.LOCK_EX | (0 if wait else _locks.LOCK_NB))
    except OSError:  # held by its writer, or a file system without locks
        return False
    return True
