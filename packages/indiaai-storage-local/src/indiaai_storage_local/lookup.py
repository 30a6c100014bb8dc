"""Opens a path without following a link in it, in one system call; imported by the tree and the page cache.

Linux has openat2(2), with RESOLVE_NO_SYMLINKS since 5.6 and RESOLVE_CACHED since 5.12; Python has not. Where it is missing, or
a container's filter refuses it, folders are opened one by one.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import suppress
from typing import Any

__all__ = ["Lookup", "find_lookup"]

_OPENAT2 = 437
_AT_FDCWD = -100
_NO_SYMLINKS, _CACHED = 0x04, 0x20
_HOW = struct.Struct("=QQQ")
_DIRECTORY, _NONBLOCK, _NOATIME = (getattr(os, name, 0) for name in ("O_DIRECTORY", "O_NONBLOCK", "O_NOATIME"))
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


class Lookup:
    """The system call; it keeps nothing between calls, so threads may share it."""

    def __init__(self) -> None:
        """Find the call in the C library.

        Raises:
            OSError, AttributeError: There is none.
        """
        # Slow to import, and needed from the first call on only.
        import ctypes

        self._get_errno = ctypes.get_errno
        # A call that may wait gives other threads the interpreter; one that never waits is quicker without.
        self._waiting = _typed(ctypes, ctypes.CDLL(None, use_errno=True))
        self._quick = _typed(ctypes, ctypes.PyDLL(None, use_errno=True))
        # Without O_NOATIME a read could note its time in the file system's journal, and wait until there is room.
        self._file = _HOW.pack(os.O_RDONLY | _CLOEXEC | _NONBLOCK | _NOATIME, 0, _NO_SYMLINKS | _CACHED)
        self._folder = _HOW.pack(os.O_RDONLY | _CLOEXEC | _DIRECTORY, 0, _NO_SYMLINKS | _CACHED)

    def open(self, path: str, flags: int, *, mode: int = 0) -> int:
        """Return the descriptor of a file or directory.

        Args:
            path: An absolute path; a link anywhere in it is refused.
            flags: Those of open(2).
            mode: The permissions of a file that is made, less the umask's.

        Raises:
            FileNotFoundError: It is not there, or its path is longer than the 4 KiB that a call takes; not so folder by folder.
            OSError: It cannot be opened; ELOOP for a link.
        """
        how, name, number = _HOW.pack(flags | _CLOEXEC, mode, _NO_SYMLINKS), os.fsencode(path), errno.EINTR
        while number == errno.EINTR:  # a signal came while a slow file system was waited for: Python's own calls go on, too
            descriptor: int = self._waiting(_OPENAT2, _AT_FDCWD, name, how, _HOW.size)
            if descriptor >= 0:
                return descriptor
            number = self._get_errno()
        number = errno.ENOENT if number == errno.ENAMETOOLONG else number
        raise OSError(number, os.strerror(number), path)

    def open_cached(self, path: bytes) -> int:
        """Return the descriptor of a file to read; negative where the kernel would have to wait, or cannot open it."""
        descriptor: int = self._quick(_OPENAT2, _AT_FDCWD, path, self._file, _HOW.size)
        return descriptor

    def open_folder(self, path: str) -> int:
        """Return the descriptor of a directory, without giving up the interpreter where that can be done without waiting.

        Raises:
            OSError: It cannot be opened; ELOOP for a link.
        """
        descriptor: int = self._quick(_OPENAT2, _AT_FDCWD, os.fsencode(path), self._folder, _HOW.size)
        return descriptor if descriptor >= 0 else self.open(path, os.O_RDONLY | _DIRECTORY)


def find_lookup(path: str) -> Lookup | None:
    """Return the system call if this system has it and lets us use it on an existing directory; None if not."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            lookup = Lookup()
            os.close(lookup.open_folder(path))
            return lookup
    return None


def _typed(ctypes: Any, library: Any) -> Any:
    call = library.syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    return call
