"""A PgBouncer in transaction mode in front of a test's server; used by the tests of poolers, which need it installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from indiaai_db.testing.server import PASSWORD, PostgresqlServer

__all__ = ["PgBouncer", "find_pgbouncer"]

START_SECONDS = 30.0

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_tls_sslmode = disable
logfile = {folder}/log
pidfile = {folder}/pid
{more}
"""


def find_pgbouncer() -> str | None:
    """Return the program, or None where there is none."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """A pooler that has `size` connections to a server for all of its clients."""

    def __init__(self, server: PostgresqlServer, folder: Path, *, size: int, more: str = "") -> None:
        """Hold where to write the configuration; entering starts it."""
        self._server = server
        self._folder = folder
        self._values = {"size": size, "more": more}
        self._process: subprocess.Popen[Any] | None = None
        self.port = 0

    def database_url(self, database: str) -> str:
        """Return the URL of a database behind the pooler."""
        return f"postgres://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        values = {"folder": self._folder, "port": self.port, "server_port": self._server.port, **self._values}
        (self._folder / "pgbouncer.ini").write_text(CONFIGURATION.format(**values))
        (self._folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
        self._launch()
        return self

    def restart(self) -> None:
        """Kill it, which cuts all of its connections, and start it again on the same port."""
        self._kill()
        self._launch()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            [find_pgbouncer() or "", str(self._folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._become_nobody(),
        )
        self._wait_until_it_listens()

    def _become_nobody(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        import pwd

        nobody = pwd.getpwnam("nobody")
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        log = self._folder / "log"
        raise RuntimeError(f"PgBouncer did not start: {log.read_text() if log.exists() else 'it wrote no log'}")
