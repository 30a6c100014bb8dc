"""Reading a file in a process of its own, seen from the worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from anyio import CancelScope, to_thread

from extraction import MAX_CPU_SECONDS, Content, Kind, Unreadable

__all__ = ["read_apart"]

_HERE = Path(__file__).parent
# By these the kernel ends a process that computes too long or takes too much memory; Windows has neither.
_LIMIT_SIGNALS = {-getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name)}


async def read_apart(path: Path, kind: Kind | None, report: Callable[[float], Awaitable[object]]) -> Content:
    """Read a file in a process that may hang, swell or crash alone; it is ended when this call is cancelled.

    Args:
        path: The file.
        kind: What it claims to be; None where it claims nothing.
        report: Hears which part of it has been read, from 0 to 1.

    Raises:
        Unreadable: The file cannot be read and never will be.
        RuntimeError: The process died, perhaps not by the file's fault.
    """
    # Threads and not asyncio's own subprocesses, which the event loop of `uvicorn --reload` does not have on Windows.
    process = await to_thread.run_sync(_start, path, kind)
    try:
        while line := await to_thread.run_sync(_next_line, process, abandon_on_cancel=True):
            said = json.loads(line)
            if "content" in said:
                return Content(**said["content"])
            if "unreadable" in said:
                raise Unreadable(said["unreadable"])
            await report(said["progress"])
        raise _death(await to_thread.run_sync(process.wait))
    finally:
        process.kill()
        with CancelScope(shield=True):
            await to_thread.run_sync(process.communicate)


def _start(path: Path, kind: Kind | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module; the path is a temporary file's
        [sys.executable, "-m", "extraction", str(path), kind or ""],
        cwd=_HERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the application, which then ends this process itself
    )


def _next_line(process: subprocess.Popen[bytes]) -> bytes:
    return process.stdout.readline() if process.stdout else b""


def _death(status: int) -> Exception:
    if status in _LIMIT_SIGNALS:
        return Unreadable(f"Reading the file takes more than {MAX_CPU_SECONDS} seconds of computing, or too much memory.")
    return RuntimeError(f"The process that was to read the file ended with status {status} and said nothing.")
