"""The folder in which objects are written before they have their place; imported by the tree alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from indiaai_storage_local.folders import FILE_FLAGS, Folder, close
from indiaai_storage_local.lookup import Lookup

try:
    import fcntl
except ImportError:  # Windows: there a file that somebody has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment] # a module or nothing

__all__ = ["Scratch"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL


class Scratch:
    """Files that are being written, each locked by its writer; what nobody locks any more is swept. Threads share it."""

    def __init__(self, path: str, *, open_folder: Callable[[], Folder], lookup: Lookup | None) -> None:
        """Use an existing folder.

        Args:
            path: Where it is.
            open_folder: Opens it, or says what is wrong with it.
            lookup: Opens a file in one call, where the system can.
        """
        self._path, self._open_folder, self._lookup = path, open_folder, lookup
        self._seed, self._counter = secrets.token_bytes(16), count()

    def create(self, *, mode: int = 0o666) -> tuple[str, int]:
        """Make a file, locked for as long as it is open.

        Args:
            mode: Its permissions, less the umask's.

        Returns:
            Its path and its descriptor.
        """
        while True:
            # New in all processes, also in other containers and on other hosts, and not to be guessed from another; and new
            # each time, for a second sweeper may still be about to remove what had the last one.
            name = f"{os.getpid()}-{hashlib.sha256(b'%b%d' % (self._seed, next(self._counter))).hexdigest()[:16]}"
            descriptor = self._open(name, mode)
            path = f"{self._path}/{name}"
            try:
                # A sweeper that came between the two calls held the lock and removed the file: then another is made.
                if _lock(descriptor, wait=True) is False or os.fstat(descriptor).st_nlink:
                    return path, descriptor
            except OSError:
                close(descriptor)
                self.discard(path)
                raise
            close(descriptor)

    def holds(self, path: str) -> bool:
        """Return whether a file is still there."""
        with self._open_folder() as folder:
            return os.path.basename(path) in folder.names()

    def discard(self, path: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(path)

    def sweep(self) -> None:
        """Remove what dead processes left."""
        with self._open_folder() as folder:
            for name, has_entries in folder.names().items():
                with suppress(OSError):
                    if not has_entries:
                        _remove_if_free(folder, name)

    def _open(self, name: str, mode: int) -> int:
        if self._lookup:
            # A folder that is gone is looked into below.
            with suppress(FileNotFoundError):
                return self._lookup.open(f"{self._path}/{name}", _FLAGS | FILE_FLAGS, mode=mode)
        with self._open_folder() as folder:
            return folder.open_file(name, flags=_FLAGS, mode=mode)


def _remove_if_free(folder: Folder, name: str) -> None:
    descriptor = folder.open_file(name)
    try:
        if _lock(descriptor, wait=False):
            folder.remove(name)
    finally:
        close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    # The lock ends with the process that holds it, whatever its number is and in whichever container it ran.
    known: Any = fcntl
    try:
        if known is None:
            return False
        known.flock(descriptor, known.LOCK_EX | (0 if wait else known.LOCK_NB))
    except OSError:  # held by its writer, or a file system without locks
        return False
    return True
