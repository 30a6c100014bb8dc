"""Reads objects that the system has in memory, without a thread; imported by the tree alone.

A hop to a thread and back costs more than all of what a small object takes: opening, reading and comparing it is done in
12 µs, so it is done in the event loop, as long as the kernel promises not to wait for the disk: RESOLVE_CACHED for the
path (openat2(2)) and RWF_NOWAIT for the bytes (preadv2(2)).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from indiaai_storage_local.files import ObjectFile
from indiaai_storage_local.lookup import Lookup

__all__ = ["PageCache"]

_os: Any = os  # of which other systems have less: none of this is called there

_MAX_BYTES = 64 * 1024
"""The largest file that is read: its digest takes 40 to 150 µs, and the event loop is held up that long."""


class PageCache:
    """What of the objects the system has in memory; it keeps nothing itself, and never waits."""

    def __init__(self, objects: str, lookup: Lookup) -> None:
        """Read below the directory of the objects."""
        self._objects = os.fsencode(objects) + b"/"
        self._open = lookup.open_cached
        # Python has it where the C library has preadv2(2): that of Alpine Linux had not before 3.20.
        self._is_able = hasattr(os, "RWF_NOWAIT")

    def load(self, path: str, key: str) -> ObjectFile | None:
        """Return an object with its content, compared with its digest; None where a thread must see to it.

        That is so if there is no such object, if it is damaged or large, or if the disk would have to be waited for.
        """
        descriptor = self._open(self._objects + path.encode()) if self._is_able else -1
        if descriptor < 0:
            return None
        try:
            found = os.fstat(descriptor)
            if found.st_size > _MAX_BYTES or not stat.S_ISREG(found.st_mode):
                return None
            whole = bytearray(found.st_size)
            if _os.preadv(descriptor, [whole], 0, _os.RWF_NOWAIT) < found.st_size:
                return None
            return ObjectFile.find(whole, key)  # if it is damaged, the error is raised in a thread
        except OSError as error:
            # Some file systems, such as tmpfs, cannot promise not to wait: then nothing is tried in vain from now on.
            self._is_able = error.errno != errno.EOPNOTSUPP
            return None
        finally:
            os.close(descriptor)
