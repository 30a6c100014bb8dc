"""An application on the embedded defaults is killed while it writes: what it acknowledged is there, and whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from indiaai_core import Platform, get_service, get_storage_service

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

# Stores an object and commits a row for it, over and over, and says the number of each when both calls have returned.
WRITER = """
import anyio, itertools, sys
from indiaai_core import Platform, get_service, get_storage_service
from sqlalchemy import text

async def main():
    async with Platform():
        async with get_service("database").session() as session:
            await session.execute(text("CREATE TABLE IF NOT EXISTS written (number INTEGER PRIMARY KEY, size INTEGER)"))
        for number in itertools.count(int(sys.argv[1])):
            content = str(number).encode() * (number * 997 % 50_000 + 1)
            await get_storage_service().upload(f"written/{number}", content)
            async with get_service("database").session() as session:
                row = {"number": number, "size": len(content)}
                await session.execute(text("INSERT INTO written VALUES (:number, :size)"), row)
            print(number, flush=True)

anyio.run(main)
"""


def write_until_killed(folder: Path, *, first: int, seconds: float) -> list[int]:
    """Run the writer, kill it after so many seconds from its first word, and return the numbers that it said."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(first)], cwd=folder, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline())]
        time.sleep(seconds)  # the moment of death, and no condition to wait for
        writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split()]
    return said


async def test_what_was_acknowledged_survives_the_death_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed six times at moments nobody chose, it starts again each time, and no object or row it reported is lost or torn."""
    monkeypatch.chdir(tmp_path)
    said: list[int] = []

    for _ in range(6):
        seconds = random.uniform(0.05, 0.6)  # noqa: S311 - a moment, not a secret
        said += write_until_killed(tmp_path, first=max(said, default=0) + 2, seconds=seconds)

    async with Platform(), get_service("database").session(read_only=True) as session:
        rows = await session.execute(text("SELECT number, size FROM written"))
        sizes = {row.number: row.size for row in rows}
        for number in said:
            content = await get_storage_service().download(f"written/{number}")
            assert content == str(number).encode() * (number * 997 % 50_000 + 1)
            assert sizes[number] == len(content)
    assert len(said) == len(set(said)) >= 6
