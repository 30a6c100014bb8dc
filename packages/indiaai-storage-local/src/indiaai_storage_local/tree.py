"""The directory that holds the objects; imported by the service and its drafts.

    root/objects   one file an object, as `layout` names it
    root/tmp       what is being written, locked by its writer; what nobody locks any more is swept
    root/secret    signs links, unless a setting does

Everything here blocks and runs in worker threads.
"""

from __future__ import annotations

import errno
import heapq
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage import ObjectInfo
from indiaai_storage_local.files import ObjectFile
from indiaai_storage_local.folders import Folder
from indiaai_storage_local.layout import decode_name, encode_key, encode_part, is_folder, key_of

try:
    import fcntl
except ImportError:  # Windows: there a file that somebody has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment] # a module or nothing

__all__ = ["Tree"]

_ATTEMPTS = 100
"""How often an upload makes its folders anew when somebody else removes them for being empty."""

_PASSING = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "ESTALE", "EIO", "EAGAIN", "EBUSY", "ETIMEDOUT", "ENOENT")
    if hasattr(errno, name)
)


class Tree:
    """The files of one store, shared by all threads, and with other processes by what the file system does in one step."""

    def __init__(self, root: str, *, fsync: bool) -> None:
        """Take note of the directory; it is made by `prepare`."""
        self.root = root
        self.fsync = fsync
        self._is_prepared = False
        self._synced: set[tuple[int, int]] = set()

    def prepare(self) -> None:
        """Make what is not there yet and sweep what dead processes left; once, for a directory gone later is a fault.

        Raises:
            OSError: The directory cannot be made or used.
        """
        if self._is_prepared:
            return
        missing = self.root
        new = []
        while not os.path.isdir(missing):
            new.append(missing)
            missing = os.path.dirname(missing)
        os.makedirs(self.root, exist_ok=True)
        for path in new:
            with Folder(os.path.dirname(path)) as parent:
                self._sync(parent)
        with Folder(self.root) as root:
            if root.make("objects") | root.make("tmp"):
                self._sync(root)
            with Folder("tmp", parent=root) as temporary:
                _sweep(temporary)
        self._is_prepared = True

    def folder(self, name: str) -> Folder:
        """Open `objects` or `tmp`.

        Raises:
            BackendUnavailable: It is gone: removed, or on a disk that is no longer mounted.
        """
        self.prepare()
        try:
            with Folder(self.root) as root:
                return Folder(name, parent=root)
        except FileNotFoundError as error:
            raise BackendUnavailable(
                f"The directory in LOCAL_STORAGE_PATH ({self.root}) is gone since it was first used. "
                "Mount or restore it; if it is to be made anew, restart."
            ) from error

    def open(self, key: str) -> ObjectFile:
        """Open an object for reading.

        Raises:
            ObjectNotFound: There is none.
        """
        *folders, leaf = encode_key(key)
        try:
            with self._walk(tuple(folders)) as folder:
                return ObjectFile(folder.open_file(leaf), key)
        except FileNotFoundError as error:
            raise ObjectNotFound(key) from error

    def stat(self, key: str) -> ObjectInfo:
        """Return what is known of an object.

        Raises:
            ObjectNotFound: There is none.
        """
        file = self.open(key)
        file.close()
        return file.info

    def read(self, key: str) -> bytes:
        """Return an object's content, compared with the digest it was stored with.

        Raises:
            ObjectNotFound: There is none.
        """
        file = self.open(key)
        try:
            return file.read_all()
        finally:
            file.close()

    def probe(self) -> None:
        """Prove that a file can be written, and leave none.

        Raises:
            OSError: It cannot.
        """
        name, descriptor = self.create()
        try:
            os.write(descriptor, b"\0")
        finally:
            os.close(descriptor)
            self.discard(name)

    def create(self, *, mode: int = 0o666) -> tuple[str, int]:
        """Make a file in `tmp`, locked for as long as it is open.

        Args:
            mode: Its permissions, less the umask's.

        Returns:
            Its name and its descriptor.
        """
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        with self.folder("tmp") as temporary:
            while True:
                descriptor = temporary.open_file(name, flags=os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=mode)
                # A sweeper that came between the two calls held the lock and removed the file: then another is made.
                if _lock(descriptor, wait=True) is False or os.fstat(descriptor).st_nlink:
                    return name, descriptor
                os.close(descriptor)

    def publish(self, name: str, *, key: str, is_new: bool) -> None:
        """Make a file of `tmp` the object under a key.

        A folder found on the way may be removed, for being empty, before the file is in it: then the call that puts it
        there fails with ENOENT, and the folders are made again.

        Raises:
            FileExistsError: `is_new` was asked for and there is an object.
        """
        *folders, leaf = encode_key(key)
        with self.folder("tmp") as temporary:
            for attempt in range(_ATTEMPTS):
                with suppress(FileNotFoundError), self._walk(tuple(folders), make=True) as folder:
                    temporary.publish(name, into=folder, under=leaf, is_new=is_new)
                    self._sync(folder)
                    return
                if attempt and name not in temporary.names():
                    break
        raise BackendUnavailable(f"The file of the object {key!r} was removed from LOCAL_STORAGE_PATH while it was stored.")

    def discard(self, name: str) -> None:
        """Remove a file of `tmp`, if it is there."""
        with suppress(FileNotFoundError), self.folder("tmp") as temporary:
            temporary.remove(name)

    def delete(self, key: str) -> bool:
        """Remove an object, then the folders that held nothing else; False if there was none."""
        *folders, leaf = encode_key(key)
        try:
            with self._walk(tuple(folders)) as folder:
                folder.remove(leaf)
                self._sync(folder)
        except FileNotFoundError:
            return False
        with suppress(OSError):  # the first that is not empty, or that somebody else removed, ends it
            while folders:
                name = folders.pop()
                with self._walk(tuple(folders)) as folder:
                    folder.remove_folder(name)
        return True

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what is known of the objects under a prefix, in the order of their keys' UTF-8 bytes, as they are asked for.

        The heap holds what was seen and not given yet, each under the least key it can lead to, so what is at its top is
        next: an object is given, a folder's entries take its place. No entry leads to a key less than its folder's.
        """
        wanted = prefix.encode()
        parts = prefix.split("/")[:-1]
        start = tuple(name for part in parts if part for name in encode_part(part, "%"))
        heap = [(b"".join(map(decode_name, start)), start)] if all(parts) else []
        while heap:
            least, names = heapq.heappop(heap)
            if names and not is_folder(names[-1]):
                yield from self._known(names)
                continue
            for name in self._entries(names):
                below = least + decode_name(name)
                if below.startswith(wanted) or (is_folder(name) and wanted.startswith(below)):
                    heapq.heappush(heap, (below, (*names, name)))

    def secret(self) -> bytes:
        """Return what signs this store's links, made at the first call of all processes: the first to publish it wins."""
        self.prepare()
        with Folder(self.root) as root, self.folder("tmp") as temporary:
            with suppress(FileNotFoundError):
                return _read_secret(root)
            name, descriptor = self.create(mode=0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(secrets.token_hex(32).encode())
                    file.flush()
                    os.fsync(file.fileno())
                    with suppress(FileExistsError):
                        temporary.publish(name, into=root, under="secret", is_new=True)
                        self._sync(root)
            finally:
                self.discard(name)
            return _read_secret(root)

    def fault(self, action: str, error: OSError) -> BackendUnavailable | StorageError:
        """Return what the caller is told of a failed system call: whether a retry may help is its class."""
        kind = BackendUnavailable if error.errno in _PASSING else StorageError
        return kind(
            f"The directory in LOCAL_STORAGE_PATH ({self.root}) failed to {action}: {error.strerror}. "
            "See to its disk, its owner and its permissions; what was stored before is unchanged."
        )

    def _walk(self, names: tuple[str, ...], *, make: bool = False) -> Folder:
        folder = self.folder("objects")
        for name in names:
            with folder as parent:
                if make:
                    parent.make(name)
                folder = Folder(name, parent=parent)
                if make:
                    self._sync_new(folder, parent)
        return folder

    def _entries(self, names: tuple[str, ...]) -> Iterator[str]:
        with suppress(FileNotFoundError), self._walk(names) as folder:
            yield from (name for name, has_entries in folder.names().items() if has_entries == is_folder(name))

    def _known(self, names: tuple[str, ...]) -> Iterator[ObjectInfo]:
        key = key_of(names)
        if key is not None:
            with suppress(ObjectNotFound):  # deleted since its folder was read
                yield self.stat(key)

    def _sync(self, folder: Folder) -> None:
        if self.fsync:
            folder.sync()

    def _sync_new(self, folder: Folder, parent: Folder) -> None:
        # Another process may have made the folder and not synced its name yet, so "it was there" proves nothing.
        if not self.fsync or (identity := folder.identity()) in self._synced:
            return
        parent.sync()
        if len(self._synced) > 10_000:
            self._synced = set()
        self._synced.add(identity)


def _sweep(temporary: Folder) -> None:
    for name, has_entries in temporary.names().items():
        with suppress(OSError):
            if not has_entries:
                descriptor = temporary.open_file(name)
                try:
                    if _lock(descriptor, wait=False):
                        temporary.remove(name)
                finally:
                    os.close(descriptor)


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


def _read_secret(root: Folder) -> bytes:
    with open(root.open_file("secret"), "rb") as file:
        secret = file.read()
    if len(secret) < 32:
        raise StorageError(f"The file {os.path.join(root.path, 'secret')} is damaged. Remove it: links made so far then end.")
    return secret
