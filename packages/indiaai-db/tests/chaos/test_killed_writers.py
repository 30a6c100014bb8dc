"""Eight processes write one SQLite file and are killed by SIGKILL, over and over: what was committed is there, and no more."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ledger import DICE, asked_rounds
from writing import start, write_numbers_until_killed

pytestmark = pytest.mark.chaos

PROCESSES = 8
PATIENCE_SECONDS = 120.0


def begin(folder: Path, writer: int) -> BaseProcess:
    """Start a writer under a number that no other one has had."""
    (folder / f"{writer}").touch()
    return start(write_numbers_until_killed, folder / "killed.db", folder / f"{writer}", writer)


def wait_for_a_word(folder: Path, writer: int) -> None:
    """Wait until a writer has said that it committed something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while b"committed" not in (folder / f"{writer}").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(process: BaseProcess) -> None:
    """Kill a writer, and see that it lived until then."""
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def said_by(folder: Path, writers: int) -> dict[str, set[tuple[int, int]]]:
    """Return what the writers said of the numbers they wrote, by the word for it."""
    said = defaultdict(set)
    for writer in range(writers):
        for line in (folder / f"{writer}").read_text().splitlines(keepends=True):
            word, _, number = line.rstrip("\n").partition(" ")
            if line.endswith("\n") and number.isdigit():
                said[word].add((writer, int(number)))
            elif line.endswith("\n"):
                said[line.strip()].add((writer, -1))
    return said


def test_committed_is_there_and_uncommitted_is_not_when_eight_writers_are_killed(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    """No acknowledged number is missing, none that was rolled back is there, the file is whole, and nobody heard of a lock."""
    crew = {writer: begin(tmp_path, writer) for writer in range(PROCESSES)}
    writers = PROCESSES + asked_rounds(40)
    for writer in range(PROCESSES, writers):
        time.sleep(DICE.uniform(0, 0.2))  # the moment of death
        victim = DICE.choice(list(crew))
        wait_for_a_word(tmp_path, victim)
        kill(crew.pop(victim))
        crew[writer] = begin(tmp_path, writer)
    for victim, process in crew.items():
        wait_for_a_word(tmp_path, victim)
        kill(process)

    with sqlite3.connect(tmp_path / "killed.db") as connection:
        present = set(connection.execute("SELECT writer, number FROM numbers"))
        health = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    said = said_by(tmp_path, writers)
    begun, committed, undone = said.pop("begun"), said.pop("committed"), said.pop("undone")
    report(
        f"{writers} processes killed, {len(committed):,} transactions acknowledged, {len(undone):,} rolled back, "
        f"{len(present - committed)} committed and not heard of, {sum(map(len, said.values()))} errors"
    )
    assert dict(said) == {}
    assert committed - present == set()
    assert present & undone == set()
    assert present - committed <= begun - undone
    assert len(present - committed) <= writers
    assert health == "ok"
