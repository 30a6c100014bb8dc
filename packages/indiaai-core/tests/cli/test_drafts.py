"""Files that are being written beside those that they will be, and commands that a signal ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from indiaai_core import Platform
from indiaai_core.cli import drafts, entry
from indiaai_core.cli.drafts import Draft, is_draft, sweep
from indiaai_core.cli.running import run


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_draft_becomes_the_file_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_locks: bool) -> None:
    """With its name it is there, without it nothing is; also where the system locks no files."""
    if not has_locks:
        monkeypatch.setattr(drafts, "_locks", None)
    with Draft(tmp_path) as draft:
        draft.file.write(b"whole")
        (begun,) = tmp_path.iterdir()
        draft.put(tmp_path / "file")
    with Draft(tmp_path) as draft:
        draft.file.write(b"begun")

    assert is_draft(begun)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"whole"


@pytest.mark.skipif(os.name == "nt", reason="on Windows nobody sweeps")
def test_what_nobody_writes_any_more_is_swept(tmp_path: Path) -> None:
    """A draft under way stays, and so does what only looks like one."""
    (tmp_path / f".indiaai-{'0' * 16}.part").write_bytes(b"left")
    (tmp_path / ".indiaai-mine.part").write_bytes(b"mine")
    with Draft(tmp_path):
        sweep(tmp_path)
        during = sorted(path.name for path in tmp_path.iterdir())

    assert len(during) == 2
    assert [path.name for path in tmp_path.iterdir()] == [".indiaai-mine.part"]


def test_a_draft_that_a_sweeper_took_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its locking, when nobody could know that it is somebody's."""
    taken: list[Path] = []
    lock = drafts._lock

    def take_the_first(file: object, *, wait: bool) -> bool:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return lock(file, wait=wait)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(drafts, "_lock", take_the_first)

    with Draft(tmp_path) as draft:
        draft.put(tmp_path / "file")

    assert (tmp_path / "file").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_sigterm_ends_a_command_as_ctrl_c_does(capsys: pytest.CaptureFixture[str]) -> None:
    """What was begun is taken back, and the status is the shells'."""
    undone: list[bool] = []

    async def work(_: Platform) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await anyio.sleep(60)
        finally:
            undone.append(True)
        return 0

    assert run(work) == 128 + signal.SIGTERM
    assert undone == [True]
    assert capsys.readouterr().err == "Interrupted.\n"


def test_a_process_that_was_interrupted_waits_for_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is at once, with the status."""
    left: list[int] = []

    def interrupted() -> None:
        raise SystemExit(130)

    monkeypatch.setattr(entry, "_run", interrupted)
    monkeypatch.setattr(entry, "leave", left.append)
    monkeypatch.setattr(sys, "argv", ["indiaai"])

    with pytest.raises(SystemExit):
        entry.main()

    assert left == [130]
