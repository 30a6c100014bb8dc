"""A directory whose entries are reached without following links; imported by the tree and its parts."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Self

__all__ = ["FILE_FLAGS", "Folder", "close", "require_regular", "sync"]

_BY_DESCRIPTOR = os.open in os.supports_dir_fd
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# O_NONBLOCK: opening a planted FIFO must not wait for its other end.
FILE_FLAGS = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

_SCANS = 4

_fcntl: Any = import_module("fcntl") if os.name == "posix" else None


class Folder:
    """One directory, held open: what is renamed or linked behind its back cannot lead a call elsewhere.

    Where the system has no directory descriptors (Windows) it is a path, and a link that is there is refused on the way.
    It lives as long as one `with` block and belongs to one thread.
    """

    def __init__(self, path: str, *, parent: Folder | None = None, descriptor: int | None = None) -> None:
        """Open the directory; under a parent, `path` is a name in it and may not be a link. Or take it opened."""
        self.path: str = os.path.join(parent.path, path) if parent else path
        self.descriptor = descriptor
        if descriptor is not None:
            return
        if _BY_DESCRIPTOR and parent:
            self.descriptor = os.open(path, _FOLDER_FLAGS | _NO_FOLLOW, dir_fd=parent.descriptor)
        elif _BY_DESCRIPTOR:
            self.descriptor = os.open(path, _FOLDER_FLAGS)
        elif not stat.S_ISDIR((os.lstat if parent else os.stat)(self.path).st_mode):
            raise NotADirectoryError(20, "Not a directory", self.path)

    def make(self, name: str) -> bool:
        """Make a folder in this one; False if there is one."""
        try:
            os.mkdir(self._at(name), dir_fd=self.descriptor)
        except FileExistsError:
            return False
        return True

    def open_file(self, name: str, *, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """Open a regular file in this folder, or make one, and return its descriptor.

        Raises:
            OSError: It cannot be opened, or it is a link or no regular file.
        """
        descriptor = os.open(self._at(name), flags | FILE_FLAGS, mode, dir_fd=self.descriptor)
        return descriptor if flags & os.O_EXCL else require_regular(descriptor, os.path.join(self.path, name))

    def take(self, path: str, *, under: str, is_new: bool) -> None:
        """Give a file a place in this folder, in one step.

        Args:
            path: Where the file is now. Its name cannot be guessed, so no link on the way to it leads to another one.
            under: Its name here.
            is_new: Whether the place must be free; the file then keeps its old place, too.

        Raises:
            FileExistsError: `is_new` was asked for and the place is taken.
        """
        place: Callable[..., None] = os.link if is_new else os.replace
        place(path, self._at(under), dst_dir_fd=self.descriptor)

    def require_place_for(self, folder: Folder) -> None:
        """Refuse a directory that cannot take files from another one; nothing is made to find out, which could stay.

        Raises:
            OSError: It is on another file system (EXDEV), or may not be written to (EACCES).
        """
        effective = os.access in os.supports_effective_ids
        number = errno.EXDEV if self.identity()[0] != folder.identity()[0] else 0
        if not os.access(self._at("."), os.W_OK | os.X_OK, dir_fd=self.descriptor, effective_ids=effective):
            number = number or errno.EACCES
        if number:
            raise OSError(number, os.strerror(number), self.path)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._at(name), dir_fd=self.descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(self._at(name), dir_fd=self.descriptor)

    def names(self) -> dict[str, bool]:
        """Return the names of the folders (True) and regular files (False) in this one; links and devices are left out.

        Some file systems may pass over a name that is replaced while they are read, so a folder that changed is read again.
        """
        found: dict[str, bool] = {}
        for _ in range(_SCANS):
            before = self._stat().st_mtime_ns
            with os.scandir(self.path if self.descriptor is None else self.descriptor) as entries:
                for entry in entries:
                    if (is_folder := entry.is_dir(follow_symlinks=False)) or entry.is_file(follow_symlinks=False):
                        found[entry.name] = is_folder
            if self._stat().st_mtime_ns == before:
                break
        return found

    def identity(self) -> tuple[int, int]:
        """Return what no other directory has, as long as this one is there."""
        found = self._stat()
        return found.st_dev, found.st_ino

    def sync(self) -> None:
        """Wait until the names in this folder are on the disk, where the system can do that for a directory."""
        if self.descriptor is not None:
            sync(self.descriptor)

    def close(self) -> None:
        """Close the directory."""
        if self.descriptor is not None:
            close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _stat(self) -> os.stat_result:
        return os.stat(self.path if self.descriptor is None else self.descriptor)

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name) if self.descriptor is None else name


def require_regular(descriptor: int, path: str) -> int:
    """Return the descriptor if it is a regular file's; close it and raise OSError if not."""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(22, "Not a regular file", path)
    except OSError:
        close(descriptor)
        raise
    return descriptor


def close(descriptor: int) -> None:
    """Close what was only read, or is on the disk or not wanted any more: whatever the system says of it, nothing is lost."""
    with suppress(OSError):
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Wait until a file, or the names in a directory, are on the disk. On macOS fsync(2) ends when they are in its cache.

    Raises:
        OSError: The disk does not take it.
    """
    everything = getattr(_fcntl, "F_FULLFSYNC", None)
    try:
        if everything is not None:
            _fcntl.fcntl(descriptor, everything)
            return
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOTTY, errno.EINVAL):
            raise
    os.fsync(descriptor)
