"""The folders whose names are known to be on the disk; imported by the tree alone."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock

from indiaai_storage_local.folders import Folder

__all__ = ["Anchors"]

_MAX_FOLDERS = 256


class Anchors:
    """Folders that need not be synced into their parents again; threads share it.

    That a folder is there does not say that its name is on the disk: another process may have made it a moment ago. A
    folder is known by its number, and numbers are given anew once a folder is removed: so each is held open here,
    which keeps its number its own.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[tuple[int, int], int]] = OrderedDict()

    def hold(self, folder: Folder) -> None:
        """Remember that the names that lead to a folder are on the disk; the longest unused one is forgotten for it."""
        if folder.descriptor is None:  # a system that cannot sync a name
            return
        with self._lock:
            self._forget(self._known.pop(folder.path, None))
            self._known[folder.path] = folder.identity(), os.dup(folder.descriptor)
            if len(self._known) > _MAX_FOLDERS:
                self._forget(self._known.popitem(last=False)[1])

    def holds(self, folder: Folder) -> bool:
        """Return whether the names that lead to a folder are on the disk."""
        if folder.descriptor is None:
            return True
        identity = folder.identity()
        with self._lock:
            found = self._known.get(folder.path)
            if found is None or found[0] != identity:
                return False
            self._known.move_to_end(folder.path)
            return True

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            while self._known:
                self._forget(self._known.popitem()[1])

    def __del__(self) -> None:
        """Close what is held for a service that nobody closed."""
        self.clear()

    def _forget(self, entry: tuple[tuple[int, int], int] | None) -> None:
        if entry:
            os.close(entry[1])
