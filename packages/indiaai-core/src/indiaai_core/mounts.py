"""What a path lies on, as the system tells; imported by backends that keep files."""

from __future__ import annotations

import os
import re

__all__ = ["forgetful_mount"]

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


def forgetful_mount(path: str | os.PathLike[str], *, table: str = "/proc/self/mountinfo") -> str | None:
    """Return where the file system that a path lies on is mounted, if that is in memory and so forgotten at a restart.

    Args:
        path: A path, which need not be there yet.
        table: The system's table of mounts, as Linux writes it; where there is none, nothing is known.

    Returns:
        The mount, or None where the path lies on a disk or that is not known.
    """
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    real, found, kind = os.path.realpath(path), "", ""
    for line in lines:
        # proc_pid_mountinfo(5): id, parent, device, root, mount point, options, optional fields, "-", type, …
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mount = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        is_above = real == mount or real.startswith(f"{mount.rstrip('/')}/")
        if is_above and len(mount) >= len(found):  # of two on one place, the later covers the earlier
            found, kind = mount, after.split(" ")[0]
    return found if kind in _IN_MEMORY else None
