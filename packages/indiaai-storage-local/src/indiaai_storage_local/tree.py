"""The directory that holds the objects; imported by the service and its drafts.

    root/objects   one file an object, as `layout` names it
    root/tmp       what is being written, locked by its writer; what nobody locks any more is swept
    root/secret    signs links, unless a setting does

Everything here blocks and runs in worker threads, but for `load`.
"""

from __future__ import annotations

import errno
import heapq
import os
from collections.abc import Iterator
from contextlib import suppress

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage import ObjectInfo, normalize_key
from indiaai_storage_local.anchors import Anchors
from indiaai_storage_local.files import ObjectFile
from indiaai_storage_local.folders import FILE_FLAGS, Folder, close, require_regular
from indiaai_storage_local.layout import decode_name, encode_key, encode_part, is_folder, key_of, plain_path
from indiaai_storage_local.lookup import Lookup, find_lookup
from indiaai_storage_local.pagecache import PageCache
from indiaai_storage_local.scratch import Scratch
from indiaai_storage_local.secret import keep_secret, read_secret

__all__ = ["Tree"]

_ATTEMPTS = 100
"""How often an upload makes its folders anew when somebody else removes them for being empty."""

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "ESTALE", "EIO", "EAGAIN", "EBUSY", "ETIMEDOUT", "ENOENT"),
        *("ENOTCONN", "EHOSTDOWN", "ENODEV", "ENXIO"),  # what serves the file system ended, or its disk was pulled out
    )
    if hasattr(errno, name)
)


class Tree:
    """The files of one store, shared by all threads, and with other processes by what the file system does in one step.

    Attributes:
        root: The directory; without links once it was used.
        fsync: Whether the disk is waited for.
        scratch: Where objects are written; to be used once `prepare` was called.
    """

    scratch: Scratch

    def __init__(self, root: str, *, fsync: bool, variable: str = "LOCAL_STORAGE_PATH") -> None:
        """Take note of the directory, and of the variable that says which; it is made by `prepare`."""
        self.root = root
        self.variable = variable
        self.fsync = fsync
        self._is_prepared = False
        self._anchors = Anchors()
        self._lookup: Lookup | None = None
        self._cache: PageCache | None = None

    def prepare(self) -> None:
        """Make what is not there yet and sweep what dead processes left; once, for a directory gone later is a fault.

        Threads that come at the same time each do all of it, and find what they need when they are done: a lock could be
        held for ever in a forked child.

        Raises:
            OSError: The directory cannot be made or used.
        """
        if self._is_prepared:
            return
        self._make_root()
        self.root = os.path.realpath(self.root)
        self._lookup = lookup = find_lookup(self.root)
        with Folder(self.root) as root:
            root.make("objects")
            root.make("tmp")
            self._sync(root)
        self.scratch = Scratch(os.path.join(self.root, "tmp"), open_folder=lambda: self._part("tmp"), lookup=lookup)
        self.scratch.sweep()
        if lookup and hasattr(os, "RWF_NOWAIT"):
            self._cache = PageCache(os.path.join(self.root, "objects"), lookup)
        self._is_prepared = True

    def close(self) -> None:
        """Close what is held open; it is opened anew when it is needed."""
        self._anchors.clear()

    def load(self, key: str) -> ObjectFile | None:
        """Return a small object that the system has in memory, with its content; None where a thread must see to it.

        This never waits, and is for the event loop.

        Raises:
            InvalidKey: The key breaks the rules.
        """
        if self._cache is None:
            return None
        if (path := plain_path(key)) is None:
            key = normalize_key(key)
            path = "/".join(encode_key(key))
        return self._cache.load(path, key)

    def open(self, key: str) -> ObjectFile:
        """Open an object for reading.

        Raises:
            ObjectNotFound: There is none.
        """
        *folders, leaf = encode_key(key)
        try:
            return ObjectFile.open(self._open_file(tuple(folders), leaf), key)
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
        """Prove that a file can be written and have its place, and leave none; and that the secret, if there is one, is good.

        Raises:
            OSError: It cannot.
            StorageError: The secret is damaged, or others may read it.
        """
        self.prepare()
        path, descriptor = self.scratch.create()
        try:
            os.write(descriptor, b"\0")
        finally:
            close(descriptor)
            self.scratch.discard(path)
        with self._part("objects") as objects, self._part("tmp") as scratch:
            objects.require_place_for(scratch)
        with Folder(self.root) as root:
            read_secret(root)

    def publish(self, path: str, *, key: str, is_new: bool) -> None:
        """Make a file of `tmp` the object under a key.

        A folder found on the way may be removed, for being empty, before the file is in it: then the call that puts it
        there fails with ENOENT, and the folders are made again.

        Raises:
            FileExistsError: `is_new` was asked for and there is an object.
        """
        *folders, leaf = encode_key(key)
        for attempt in range(_ATTEMPTS):
            with suppress(FileNotFoundError), self._make_way(tuple(folders)) as folder:
                folder.take(path, under=leaf, is_new=is_new)
                self._confirm(folder, f"store {key!r}")
                return
            if attempt and not self.scratch.holds(path):
                break
        raise BackendUnavailable(f"The file of the object {key!r} was removed from {self.variable} while it was stored.")

    def delete(self, key: str) -> bool:
        """Remove an object, then the folders that held nothing else; False if there was none."""
        *folders, leaf = encode_key(key)
        try:
            with self._walk(tuple(folders)) as folder:
                folder.remove(leaf)
                self._confirm(folder, f"delete {key!r}")
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
        """Return what signs this store's links: see `keep_secret`."""
        self.prepare()
        with Folder(self.root) as root:
            return keep_secret(root, self.scratch, fsync=self.fsync)

    def fault(
        self, action: str, error: OSError, *, left: str = "what was stored before is unchanged"
    ) -> BackendUnavailable | StorageError:
        """Return what the caller is told of a failed system call: whether a retry may help is its class."""
        kind = BackendUnavailable if error.errno in _PASSING else StorageError
        return kind(
            f"The directory in {self.variable} ({self.root}) failed to {action}: {error.strerror}. "
            f"See to its disk, its owner and its permissions; {left}."
        )

    def _make_root(self) -> None:
        # Also where it is there: another process may have made it a moment ago, and not synced its name yet.
        unsynced, path = [self.root], self.root
        while not os.path.isdir(path) and path != (path := os.path.dirname(path)):
            unsynced.append(path)
        os.makedirs(self.root, exist_ok=True)
        for path in unsynced:
            # A directory that was there long ago may have a parent that may be passed and not opened.
            with suppress(PermissionError), Folder(os.path.dirname(path)) as parent:
                self._sync(parent)

    def _part(self, name: str) -> Folder:
        try:
            with Folder(self.root) as root:
                return Folder(name, parent=root)
        except FileNotFoundError as error:
            raise BackendUnavailable(
                f"The directory in {self.variable} ({self.root}) is gone since it was first used. "
                "Mount or restore it; if it is to be made anew, restart."
            ) from error

    def _open_file(self, names: tuple[str, ...], leaf: str) -> int:
        self.prepare()
        if lookup := self._lookup:  # another thread that prepares may put another one there, or none
            path = "/".join((self.root, "objects", *names, leaf))
            with suppress(FileNotFoundError):  # whether it is the object or the store that is missing is found below
                return require_regular(lookup.open(path, os.O_RDONLY | FILE_FLAGS), path)
        with self._walk(names) as folder:
            return folder.open_file(leaf)

    def _walk(self, names: tuple[str, ...]) -> Folder:
        self.prepare()
        if found := self._reach(names):
            return found
        folder = self._part("objects")
        for name in names:
            with folder as parent:
                folder = Folder(name, parent=parent)
        return folder

    def _reach(self, names: tuple[str, ...]) -> Folder | None:
        if lookup := self._lookup:
            path = "/".join((self.root, "objects", *names))
            with suppress(FileNotFoundError):
                return Folder(path, descriptor=lookup.open_folder(path))
        return None

    def _make_way(self, names: tuple[str, ...]) -> Folder:
        """Return the folder for an object, made if need be, and with the names that lead to it on the disk."""
        if found := self._reach(names):
            if not self.fsync or not names or self._anchors.holds(found):
                return found
            found.close()
        folder = self._part("objects")
        for name in names:
            with folder as parent:
                is_made = parent.make(name)
                folder = Folder(name, parent=parent)
                self._anchor(folder, parent, is_made=is_made)
        return folder

    def _anchor(self, folder: Folder, parent: Folder, *, is_made: bool) -> None:
        try:
            if self.fsync and (is_made or not self._anchors.holds(folder)):
                parent.sync()
                self._anchors.hold(folder)
        except OSError:
            folder.close()
            raise

    def _entries(self, names: tuple[str, ...]) -> Iterator[str]:
        with suppress(FileNotFoundError), self._walk(names) as folder:
            yield from (name for name, has_entries in folder.names().items() if has_entries == is_folder(name))

    def _known(self, names: tuple[str, ...]) -> Iterator[ObjectInfo]:
        key = key_of(names)
        if key is not None:
            with suppress(ObjectNotFound):  # deleted since its folder was read
                yield self.stat(key)

    def _confirm(self, folder: Folder, action: str) -> None:
        # To take it back would be another change that the disk does not confirm, and by now could hit another's upload.
        try:
            self._sync(folder)
        except OSError as error:
            left = "it is done, but a power cut may undo it: repeat the call when the disk works"
            raise self.fault(action, error, left=left) from error

    def _sync(self, folder: Folder) -> None:
        if self.fsync:
            folder.sync()
