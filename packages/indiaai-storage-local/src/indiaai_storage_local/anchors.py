"""The folders whose names are known to be on the disk; imported by the tree alone."""

from __future__ import annotations

import os
from contextlib import suppress

from indiaai_storage_local.folders import Folder, close

__all__ = ["Anchors"]

_MAX_FOLDERS = 256


class Anchors:
    """Folders that need not be synced into their parents again; threads share it.

    That a folder is there does not say that its name is on the disk: another process may have made it a moment ago. A
    folder is known by its number, and numbers are given anew once a folder is removed: so each is held open here,
    which keeps its number its own.

    There is no lock, which a forked child could find held for ever by a thread that it has not: every step here is one
    of the dictionary's own. Of what two threads do at once at worst a folder is forgotten, and then synced once more.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[str, _Anchor] = {}

    def hold(self, folder: Folder) -> None:
        """Remember that the names that lead to a folder are on the disk; the one known longest is forgotten for it."""
        if folder.descriptor is None:  # a system that cannot sync a name
            return
        with suppress(OSError):  # too many files are open, say: what is not remembered is synced once more
            self._known[folder.path] = _Anchor(folder.identity(), os.dup(folder.descriptor))
        with suppress(StopIteration, RuntimeError):  # another thread forgets or remembers one: then the next call sees to it
            while len(self._known) > _MAX_FOLDERS:
                self._known.pop(next(iter(self._known)), None)

    def holds(self, folder: Folder) -> bool:
        """Return whether the names that lead to a folder are on the disk."""
        if folder.descriptor is None:
            return True
        found = self._known.get(folder.path)
        with suppress(OSError):
            return found is not None and found.identity == folder.identity()
        return False

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


class _Anchor:
    """A folder that is held open for as long as somebody knows it."""

    def __init__(self, identity: tuple[int, int], descriptor: int) -> None:
        self.identity, self._descriptor = identity, descriptor

    def __del__(self) -> None:
        close(self._descriptor)
