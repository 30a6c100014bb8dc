"""What signs a store's links, kept in its directory; imported by the tree alone."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress

from indiaai_core.errors import StorageError
from indiaai_storage_local.folders import Folder, sync
from indiaai_storage_local.scratch import Scratch

__all__ = ["keep_secret", "read_secret"]

_NAME = "secret"


def keep_secret(root: Folder, scratch: Scratch, *, fsync: bool) -> bytes:
    """Return the secret, made at the first call of all processes: the first to publish it wins.

    Raises:
        OSError: It can be neither read nor kept.
        StorageError: What is there is no secret, or is none any more.
    """
    if found := read_secret(root):
        return found
    path, descriptor = scratch.create(mode=0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            sync(file.fileno())
            with suppress(FileExistsError):
                root.take(path, under=_NAME, is_new=True)
                if fsync:
                    root.sync()
    finally:
        scratch.discard(path)
    return read_secret(root)


def read_secret(root: Folder) -> bytes:
    """Return the secret; empty where none was made yet.

    Raises:
        StorageError: The file is damaged, or others than its owner may read it.
    """
    path = os.path.join(root.path, _NAME)
    try:
        descriptor = root.open_file(_NAME)
    except FileNotFoundError:
        return b""
    with open(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        secret = file.read()
    if os.name != "nt" and mode & 0o077:
        raise StorageError(
            f"The file {path} signs links and may be read by others (mode {mode:o}). "
            "Remove it: links made so far then end. Or, if nobody has read it: chmod 600."
        )
    if len(secret) < 32:
        raise StorageError(f"The file {path} is damaged. Remove it: links made so far then end.")
    return secret
