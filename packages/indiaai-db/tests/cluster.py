"""A PostgreSQL primary with streaming replicas, which tests promote, freeze, kill and hold back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from indiaai_db.testing.server import PASSWORD, PostgresqlServer

__all__ = ["Standby", "ask", "cut_power", "freeze", "replicated", "thaw", "wait_until"]

PATIENCE_SECONDS = 60.0


class Standby(PostgresqlServer):
    """A server that was copied from a running one and follows it."""

    def __init__(self, primary: PostgresqlServer, *, port: int = 0) -> None:
        """Hold whom to follow; entering copies it, and listens on a port that is given or on a free one."""
        super().__init__()
        self._primary = primary
        self.port = port

    def _create_cluster(self) -> None:
        conninfo = f"host=127.0.0.1 port={self._primary.port} user=postgres password='{PASSWORD}'"
        command = [f"{self._binaries / 'pg_basebackup'}", "-D", f"{self._folder / 'data'}", "-R", "-c", "fast", "-d", conninfo]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._identity)

    def follow(self, primary: PostgresqlServer) -> None:
        """Follow another primary from now on."""
        conninfo = f"host=127.0.0.1 port={primary.port} user=postgres password=''{PASSWORD}''"
        ask(self, f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
        ask(self, "SELECT pg_reload_conf()")

    def follow_nobody(self) -> None:
        """Take in nothing more: what has come so far is all that there will be."""
        ask(self, "ALTER SYSTEM SET primary_conninfo = ''")
        ask(self, "SELECT pg_reload_conf()")
        wait_until(lambda: ask(self, "SELECT count(*) FROM pg_stat_wal_receiver") == 0, "nothing is received")

    def promote(self) -> None:
        """Become a primary."""
        assert ask(self, "SELECT pg_promote(true, 60)")

    def hold_back(self) -> None:
        """Take in what the primary sends, and show nothing of it."""
        ask(self, "SELECT pg_wal_replay_pause()")
        wait_until(lambda: ask(self, "SELECT pg_get_wal_replay_pause_state()") == "paused", "the replay is paused")

    def catch_up(self) -> None:
        """Show all of it again."""
        ask(self, "SELECT pg_wal_replay_resume()")


@contextmanager
def replicated(count: int) -> Iterator[tuple[PostgresqlServer, list[Standby]]]:
    """Run a primary with so many replicas."""
    with ExitStack() as stack:
        primary = stack.enter_context(PostgresqlServer())
        yield primary, [stack.enter_context(Standby(primary)) for _ in range(count)]


def ask(server: PostgresqlServer, statement: str) -> Any:
    """Run one statement over a connection of its own, and return the first value."""

    async def fetch() -> Any:
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def freeze(server: PostgresqlServer) -> None:
    """Stop every process of a server, as a machine that hangs: connections stay open and nobody answers."""
    _signal(server, signal.SIGSTOP)


def thaw(server: PostgresqlServer) -> None:
    """Let a frozen server go on."""
    _signal(server, signal.SIGCONT)


def cut_power(server: PostgresqlServer) -> None:
    """Kill every process of a server at once; one that is dead stays so."""
    if not _is_there(server.pid):
        return
    children = _signal(server, signal.SIGSTOP)
    for child in children:  # before the postmaster: nobody could tell afterwards whose they were
        os.kill(child, signal.SIGKILL)
    server.kill()
    # It does not start again while one of them holds its shared memory.
    wait_until(lambda: not any(_is_there(child) for child in children), "every process is gone")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(0.02)


def _signal(server: PostgresqlServer, number: signal.Signals) -> list[int]:
    # The postmaster first: it then starts nobody whom this would miss.
    os.kill(server.pid, number)
    children = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, number)
    return children


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
