"""What reading one file may cost; imported by the process that reads."""

from __future__ import annotations

import contextlib

__all__ = ["MAX_CPU_SECONDS", "MAX_MEMORY_BYTES", "confine_this_process"]

MAX_CPU_SECONDS = 60
"""Seconds of computing that one file may take; the kernel ends the process after that."""

MAX_MEMORY_BYTES = 1024 * 1024 * 1024
"""Address space that one file may take, the interpreter's own included."""


def confine_this_process() -> None:
    """Hold this process to the limits, where the system can: Windows leaves it at the parent's time limit."""
    try:
        import resource
    except ImportError:
        return
    # macOS refuses RLIMIT_AS, and a limit that the user has set lower already is better than ours.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS + 1))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
