"""The supervisor of `indiaai worker --processes`, with small programs for children, and what its children do."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from indiaai_core import Worker
from indiaai_core.cli import child as child_module
from indiaai_core.cli import supervisor as supervisor_module
from indiaai_core.cli import worker as worker_command
from indiaai_core.cli.child import Parent
from indiaai_core.cli.supervisor import Supervisor
from indiaai_core.cli.work import CANNOT_START, Work

pytestmark = pytest.mark.anyio

PROLOGUE = """
import os, signal, sys, time
here = sys.argv[1]
def told():
    return os.read(0, 1)
def note(text):
    with open(os.path.join(here, f"{os.getpid()}.new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(here, f"{os.getpid()}.new"), os.path.join(here, f"{os.getpid()}.txt"))
"""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Start again at once, and keep the log."""
    monkeypatch.setattr(supervisor_module, "FIRST_WAIT_SECONDS", 0.01)
    caplog.set_level(logging.INFO)


Command = Callable[[bool, bool], Sequence[str]]


def program(folder: Path, source: str) -> Command:
    """Return the command of a child that runs some lines of Python."""
    return lambda announces, explains: [
        sys.executable, "-I", "-S", "-c", PROLOGUE + source, str(folder), str(announces), str(explains),
    ]  # fmt: skip


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[list[int]]:
    """Run a supervisor beside the block; the status is in the list after it."""
    statuses: list[int] = []

    async def keep() -> None:
        statuses.append(await supervisor.run())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(keep)
            yield statuses


async def notes(folder: Path, count: int, *, besides: dict[int, str] | None = None) -> dict[int, str]:
    """Wait until so many children have left a note, besides those that are known; return them by process id."""
    while True:
        found = {int(path.stem): path.read_text("utf-8") for path in folder.glob("*.txt")}
        new = {pid: text for pid, text in found.items() if pid not in (besides or {})}
        if len(new) >= count:
            return new
        await anyio.sleep(0.01)


WAITS = "note(' '.join(sys.argv[2:4])); told(); sys.exit(0)"


async def test_one_child_announces_and_all_stop_at_the_first_signal(tmp_path: Path) -> None:
    """SIGTERM reaches every child once; the first one says what is run; the status is theirs."""
    async with running(Supervisor(3, program(tmp_path, WAITS))) as statuses:
        said = await notes(tmp_path, 3)
        signal.raise_signal(signal.SIGTERM)

    assert sorted(said.values()) == ["False False", "False False", "True True"]
    assert statuses == [0]


async def test_a_child_that_dies_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SIGKILL of a child is said, with when another one comes, which explains what hinders it."""
    async with running(Supervisor(1, program(tmp_path, WAITS))):
        first = await notes(tmp_path, 1)
        os.kill(next(iter(first)), signal.SIGKILL)
        second = await notes(tmp_path, 1, besides=first)
        signal.raise_signal(signal.SIGTERM)

    assert "Process 1 of 1 was killed by SIGKILL. Starting it again in 0.01 s" in caplog.text
    assert list(second.values()) == ["False True"]


async def test_a_child_that_dies_again_and_again_is_waited_for_longer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each death soon after the start doubles the wait, and the last status counts at the end."""
    supervisor = Supervisor(1, program(tmp_path, "note(''); sys.exit(3)"))

    async with running(supervisor) as statuses:
        await notes(tmp_path, 3)
        while "again in 0.04 s" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
            await anyio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)

    assert "ended with status 3. Starting it again in 0.01 s" in caplog.text
    assert "ended with status 3. Starting it again in 0.02 s" in caplog.text
    assert statuses == [3]


async def test_a_second_signal_is_passed_on(tmp_path: Path) -> None:
    """A child hears the second one too, and the worst status is that of all."""
    source = "note(''); told(); note('stopping'); told(); sys.exit(4 if sys.argv[2] == 'True' else 0)"

    async with running(Supervisor(2, program(tmp_path, source))) as statuses:
        await notes(tmp_path, 2)
        signal.raise_signal(signal.SIGINT)
        while set((await notes(tmp_path, 2)).values()) != {"stopping"}:  # noqa: ASYNC110 - another process's file
            await anyio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    assert statuses == [4]


async def test_a_child_that_a_signal_kills_at_the_end_counts_as_shells_count(tmp_path: Path) -> None:
    """128 and the signal's number; SIGTERM before it was listened for is what was asked, and counts as 0."""
    killed = "note(''); told(); os.kill(os.getpid(), signal.SIGKILL)"
    ended = "note(''); told(); os.kill(os.getpid(), signal.SIGTERM)"
    found = []

    for name, source in {"killed": killed, "ended": ended}.items():
        (tmp_path / name).mkdir()
        async with running(Supervisor(1, program(tmp_path / name, source))) as statuses:
            await notes(tmp_path / name, 1)
            signal.raise_signal(signal.SIGTERM)
        found += statuses

    assert found == [137, 0]


async def test_a_wrong_configuration_ends_all(tmp_path: Path) -> None:
    """Starting again cannot help: the others are stopped, and the status is 1."""
    source = f"sys.exit({CANNOT_START}) if sys.argv[2] == 'True' else told()"

    async with running(Supervisor(2, program(tmp_path, source))) as statuses:
        pass

    assert statuses == [1]


async def test_who_says_why_nothing_starts_is_not_stopped_before(tmp_path: Path) -> None:
    """The silent ones end sooner: the one that explains is waited for."""
    others_ended = "len([it for it in os.listdir(here) if it.endswith('.txt')]) == 2"
    source = (
        f"if sys.argv[2] == 'True':\n    while not {others_ended}: time.sleep(0.01)\n    time.sleep(0.2)\n"
        f"note(sys.argv[2]); sys.exit({CANNOT_START})"
    )

    async with running(Supervisor(3, program(tmp_path, source))) as statuses:
        pass

    assert sorted((await notes(tmp_path, 3)).values()) == ["False", "False", "True"]
    assert statuses == [1]


async def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A machine without room for a process for now does not end the supervisor."""
    commands = iter([["/no/such/program"]])
    command = program(tmp_path, WAITS)

    async with running(Supervisor(1, lambda *flags: next(commands, None) or command(*flags))) as statuses:
        await notes(tmp_path, 1)
        signal.raise_signal(signal.SIGTERM)

    assert "A process cannot be started: " in caplog.text
    assert statuses == [0]


class Changes:
    """Changes of files, as a test says."""

    def __init__(self) -> None:
        """Begin with none."""
        self.send, self._receive = anyio.create_memory_object_stream[str](10)

    async def __call__(self) -> AsyncIterator[str]:
        """Give what is sent."""
        with self._receive:
            async for found in self._receive:
                yield found


async def test_a_change_starts_all_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is stopped gracefully, started again, and the first one says what is run now."""
    changes = Changes()

    async with running(Supervisor(2, program(tmp_path, WAITS), changes=changes)) as statuses:
        first = await notes(tmp_path, 2)
        await changes.send.send("jobs.py")
        await changes.send.aclose()
        second = await notes(tmp_path, 2, besides=first)
        signal.raise_signal(signal.SIGTERM)

    assert "Changed: jobs.py." in caplog.text
    assert sorted(second.values()) == ["False False", "True True"]
    assert "Starting it again" not in caplog.text
    assert statuses == [0]


async def test_code_that_does_not_load_waits_for_the_next_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not tried again as it is, and tried as soon as a file changes."""
    changes = Changes()
    broken = tmp_path / "broken"
    broken.touch()
    source = f"note(''); sys.exit({CANNOT_START}) if os.path.exists({str(broken)!r}) else told()"

    async with running(Supervisor(2, program(tmp_path, source), changes=changes)) as statuses:
        first = await notes(tmp_path, 2)
        while "waiting for the next change" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
            await anyio.sleep(0.01)
        broken.unlink()
        await changes.send.send("jobs.py")
        await changes.send.aclose()
        second = await notes(tmp_path, 2, besides=first)
        signal.raise_signal(signal.SIGTERM)

    assert len(second) == 2
    assert caplog.text.count("waiting for the next change") == 1
    assert statuses == [0]


async def test_the_work_goes_on_without_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A system without watches to give costs the reloading, and says so."""

    async def broken() -> AsyncIterator[str]:
        for watches in range(2):
            if not watches:
                raise OSError("OS file watch limit reached")
            yield ""

    async with running(Supervisor(1, program(tmp_path, WAITS), changes=broken)) as statuses:
        await notes(tmp_path, 1)
        signal.raise_signal(signal.SIGTERM)

    assert "Files are not watched any more: OS file watch limit reached" in caplog.text
    assert statuses == [0]


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    """Real-time signals have none."""
    assert supervisor_module._how(-77) == "was killed by signal 77"


@pytest.mark.parametrize("reload", [False, True])
def test_the_command_supervises_children_like_itself(monkeypatch: pytest.MonkeyPatch, *, reload: bool) -> None:
    """Each child is this Python with what the command was asked; files are watched where that was asked."""
    made: list[Any] = []

    class Recorder:
        def __init__(self, count: int, command: Command, *, changes: object) -> None:
            made.append((count, command(False, True), changes is not None))

        async def run(self) -> int:
            return 5

    monkeypatch.setattr(worker_command, "Supervisor", Recorder)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    work = Work("jobs:worker", concurrency=3, queues={"bulk": 2}, processes=4)

    status = worker_command.run_worker(work, reload=reload)

    ((count, command, is_watched),) = made
    assert (status, count, is_watched) == (5, 4, reload)
    assert command[0] == sys.executable
    assert Work.parse(command[-1]) == Work("jobs:worker", 3, {"bulk": 2}, 4, announces=False, explains=True)


class Ends(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect signals, waits and the end of a child in place of having them."""
    found: list[Any] = []

    def end(status: int) -> None:
        found.append(f"end {status}")
        raise Ends

    monkeypatch.setattr(signal, "raise_signal", found.append)
    monkeypatch.setattr(time, "sleep", lambda seconds: found.append(f"{seconds:g} s"))
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    return found


def test_a_child_raises_what_it_is_sent_and_stops_when_its_parent_dies(raised: list[Any]) -> None:
    """A byte is a signal; the end of the pipe is SIGTERM, and the end of the process once the grace time is over."""
    theirs, ours = os.pipe()
    parent = Parent(theirs)
    parent.loaded(Worker(grace_seconds=5))
    os.write(ours, bytes([signal.SIGINT]))
    os.close(ours)

    with pytest.raises(Ends):
        parent.listen()
    os.close(theirs)

    assert raised == [signal.SIGINT, signal.SIGTERM, "20 s", "end 1"]


def test_a_child_takes_the_pipe_off_its_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does the work it was given, and leaves nothing on standard input for handlers to read."""
    theirs, ours = os.pipe()
    kept = os.dup(0)
    os.dup2(theirs, 0)
    seen: list[Any] = []

    def do_work(work: Work, on_loaded: Callable[[Worker], object]) -> int:
        seen.extend([work, os.read(0, 1)])
        return 3

    monkeypatch.setattr(child_module, "do_work", do_work)
    monkeypatch.setattr(Parent, "listen", lambda parent: os.close(parent._descriptor))
    monkeypatch.setattr(sys, "argv", ["-c", str(Work("jobs:worker"))])
    try:
        with pytest.raises(SystemExit) as caught:
            child_module.main()
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, theirs, ours):
            os.close(descriptor)

    assert caught.value.code == 3
    assert seen == [Work("jobs:worker"), b""]
