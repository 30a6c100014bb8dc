"""`indiaai storage cp` that is stopped, in any way and at any time: it leaves nothing, or the next run takes it away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import PROGRAM, call, run_long, wait_for

SLOW = """
import asyncio
from indiaai_core import StorageService

class Backend(StorageService):
    capabilities = frozenset({"list", "stream"})

    async def upload(self, file_key, file_data, content_type="", *, if_absent=False):
        async for _ in file_data:
            pass
        return ""

    async def download(self, file_key):
        return b"whole"

    async def stream(self, file_key, *, start=0, end=None, chunk_size=1):
        yield b"begun"
        if file_key == "slow":
            await asyncio.sleep(3600)

    async def get_url(self, file_key, expires_in=3600):
        return ""

    async def delete(self, file_key):
        return True
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A stranger's store whose object `slow` begins and never ends."""
    site = tmp_path / "site"
    metadata = site / "acme_storage_slow-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-storage-slow\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("[indiaai.storage]\nslow = acme_slow:Backend\n", "utf-8")
    (site / "acme_slow.py").write_text(SLOW, "utf-8")
    return {"PYTHONPATH": f"{site}", "STORAGE_TYPE": "slow"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def drafts(folder: Path) -> list[Path]:
    """Return what is there that was not asked for."""
    return sorted(path for path in folder.iterdir() if path.name not in ("quick", "slow"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_copy_that_is_told_to_stop_leaves_nothing(
    tmp_path: Path, target: Path, variables: dict[str, str], number: signal.Signals
) -> None:
    """Neither a file under its name nor the beginning of one under another; the status says which signal it was."""
    with run_long("storage", "cp", ":slow", f"{target}", folder=tmp_path, variables=variables) as running:
        wait_for(lambda: drafts(target) or None, running.said)
        status = running.stop(number)

    assert status == 128 + number
    assert list(target.iterdir()) == []
    assert running.said() == "Interrupted.\n0 objects copied\n"


def test_what_a_killed_copy_left_the_next_one_takes_away(tmp_path: Path, target: Path, variables: dict[str, str]) -> None:
    """And never what another process still writes, nor what only looks like it."""
    (target / ".indiaai-mine.part").write_text("a person's own")
    with run_long("storage", "cp", ":slow", f"{target}", folder=tmp_path, variables=variables) as running:
        wait_for(lambda: len(drafts(target)) == 2 or None, running.said)
        beside = call("storage", "cp", ":quick", f"{target}", folder=tmp_path, variables=variables)
        during = drafts(target)
        running.stop(signal.SIGKILL)
    after = drafts(target)
    assert (beside.returncode, len(during), after) == (0, 2, during)

    done = call("storage", "cp", ":quick", f"{target}", folder=tmp_path, variables=variables)

    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        ".indiaai-mine.part": "a person's own",
        "quick": "begun",
    }


@pytest.fixture
def silence() -> Iterator[int]:
    """A standard input that stays open and says nothing."""
    ours, theirs = os.pipe()
    yield ours
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_for_standard_input_ends_at_once(
    tmp_path: Path, variables: dict[str, str], silence: int, number: signal.Signals
) -> None:
    """Though no thread that reads can be stopped."""
    command = [f"{PROGRAM}", "storage", "cp", "-", ":key"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **variables}, stdin=silence, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_for(lambda: has_threads(process.pid) or None)
            process.send_signal(number)
            status = process.wait(60)
        finally:
            process.kill()  # or leaving the block waits for it, however long that is

    assert status == 128 + number


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.mark.parametrize(
    "command",
    [["check"], ["queue", "counts"], ["queue", "requeue", "--all-dead"], ["db", "copy", "old"]],
    ids=" ".join,
)
def test_any_command_that_waits_for_a_server_ends_at_ctrl_c(tmp_path: Path, silent: socket.socket, command: list[str]) -> None:
    """With one word and the status that shells know, and leaves nothing that it made to look whether it can."""
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    database = f"postgresql://app:secret@{address}/app"
    variables = {"QUEUE_TYPE": "redis", "REDIS_URL": f"redis://{address}/0", "LOCAL_STORAGE_PATH": "storage"}
    if command[0] == "db":
        variables |= {"DATABASE_TYPE": "postgresql", "DATABASE_URL": database, "OLD_DATABASE_URL": database}

    with run_long(*command, folder=tmp_path, variables=variables) as running:
        connection, _ = silent.accept()
        with connection:
            status = running.stop(signal.SIGINT)

    assert (status, running.said().splitlines()[-1]) == (130, "Interrupted.")
    assert "Traceback" not in running.said()
    assert [path for path in tmp_path.glob("storage/**/*") if path.is_file() and path.stat().st_size] == []


def has_threads(pid: int) -> bool:
    """Tell whether a process has begun to read in a thread; where nobody can tell, that it has."""
    folder = Path(f"/proc/{pid}/task")
    return len(list(folder.iterdir())) > 1 if folder.is_dir() else sys.platform != "linux"
