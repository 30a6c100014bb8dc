"""`indiaai worker` in one process: what it prints, what it applies, and what it says where it cannot start."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from indiaai_core import BackendUnavailable, Worker
from indiaai_core.cli import work as work_module
from indiaai_core.cli.changes import changes
from indiaai_core.cli.work import CANNOT_START, Work
from installed import SitePackages
from shared_queue import SHARED_QUEUE, run

pytestmark = pytest.mark.usefixtures("quiet", "shared_queue")

JOBS = """
    from indiaai_core import Worker

    worker = Worker(concurrency=4)

    @worker.task("process", max_attempts=3, timeout=60, rate_limit="10/s")
    def process(): ...

    @worker.task("report")
    def report(): ...

    @worker.cron("0 3 * * *", timezone="Asia/Kolkata", max_attempts=1)
    def clean_up(): ...
"""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """Collect the workers that would be run."""
    workers: list[Worker] = []

    async def serve(worker: Worker, _: object) -> None:
        workers.append(worker)

    monkeypatch.setattr(work_module, "serve", serve)
    return workers


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the application's module, `acme_jobs`, which is forgotten after the test."""
    monkeypatch.delitem(sys.modules, "acme_jobs", raising=False)

    def write(source: str) -> None:
        (tmp_path / "acme_jobs.py").write_text(textwrap.dedent(source), "utf-8")

    monkeypatch.setitem(sys.modules, "acme_jobs", None)  # so that what the test imports is taken out again
    del sys.modules["acme_jobs"]
    return write


def test_worker_prints_what_it_runs(served: list[Worker], write: Callable[[str], None]) -> None:
    """Queue and server without a secret, tasks with their limits, schedules with the next time, slots: a line each."""
    write(JOBS)

    status, printed, _ = run("worker", "acme_jobs:worker")

    assert (status, len(served)) == (0, 1)
    assert re.sub(r"at \d{4}-\d\d-\d\d ", "at DAY ", printed) == (
        "Worker acme_jobs:worker\n"
        "  queue     acme at acme://example.org/1\n"
        "  task      clean_up  1 attempt\n"
        "  task      process   3 attempts, 60 s each, 10 a second\n"
        "  task      report    5 attempts\n"
        "  schedule  clean_up  0 3 * * *, next at DAY 03:00:00 IST\n"
        "  at once   4 tasks\n"
    )
    assert "secret" not in printed


def test_slots_and_queues_are_chosen_on_the_command_line(served: list[Worker], write: Callable[[str], None]) -> None:
    """What is given there wins over what the code says; the queue without a name is called `default`."""
    write(JOBS)

    status, printed, _ = run("worker", "acme_jobs:worker", "-c", "1", "--queue", "default=3", "--queue", "bulk")

    assert status == 0
    assert "  queue     acme at acme://example.org/1, weight 3\n" in printed
    assert "  queue     bulk: acme at acme://example.org/1, weight 1\n" in printed
    assert printed.endswith("at once   1 task\n")
    assert (served[0].concurrency, dict(served[0].queues)) == (1, {None: 3, "bulk": 1})


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_log_is_json_where_it_is_asked_for(
    served: list[Worker], write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, *, how: str
) -> None:
    """By the option or by the variable, which the processes of several read too."""
    write(JOBS)
    formats: list[str] = []
    monkeypatch.setattr(Work, "log", lambda work: formats.append(Work.parse(str(work)).log_format))
    if how == "variable":
        monkeypatch.setenv("INDIAAI_LOG_FORMAT", "json")

    status, _, _ = run("worker", "acme_jobs:worker", *(["--log-format", "json"] if how == "option" else []))

    assert (status, formats) == (0, ["json"])


@pytest.mark.parametrize("text", ["", "=2", "bulk=0", "bulk=much", "bulk=-1"])
def test_a_weight_that_is_none_is_misuse(text: str) -> None:
    """What cannot be read is refused before anything is loaded, with status 2."""
    assert run("worker", "acme_jobs:worker", "--queue", text)[0] == 2


def test_worker_says_why_it_cannot_start() -> None:
    """A worker that is not there is one sentence and status 1."""
    status, _, said = run("worker", "acme_nowhere:worker")

    assert status == 1
    assert "there is no module 'acme_nowhere'" in said


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("x = 1\nx = y\n", r"NameError.*\n  at .*acme_jobs\.py:2\n$"),
        ("x = (\n", r'SyntaxError.*\n  File ".*acme_jobs\.py", line 1\n'),
    ],
)
def test_an_import_that_fails_names_its_line(source: str, place: str, write: Callable[[str], None]) -> None:
    """A person finds the place in the application without a traceback of ours."""
    write(source)

    status, _, said = run("worker", "acme_jobs:worker")

    assert status == 1
    assert re.search(place, said)
    assert "Traceback" not in said


def test_a_service_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, write: Callable[[str], None]) -> None:
    """A start without a server ends with status 1, and another start may help."""

    async def serve(*_: object) -> None:
        raise BackendUnavailable("acme does not answer")

    monkeypatch.setattr(work_module, "serve", serve)
    write(JOBS)

    status, _, said = run("worker", "acme_jobs:worker")

    assert (status, said) == (1, "acme does not answer\n")


def test_several_processes_refuse_a_queue_that_lives_in_one(
    site: SitePackages, monkeypatch: pytest.MonkeyPatch, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each would have an empty queue of its own: the reason and both ways out are named."""
    site.backend("lonely", layer="queue", source=SHARED_QUEUE.replace('"cancel", ', '"in_process", '))
    monkeypatch.setenv("QUEUE_TYPE", "lonely")
    write(JOBS)

    status = work_module.do_work(Work("acme_jobs:worker", processes=3))

    said = capsys.readouterr().err
    assert status == CANNOT_START
    assert "each of 3 processes would work an empty queue of its own" in said
    assert "install(app, worker=worker)" in said
    assert "set QUEUE_TYPE to a queue" in said


def test_one_of_several_processes_works_in_silence(
    served: list[Worker], write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is run is printed once, by another; the worker is handed to who waits for it."""
    write(JOBS)
    loaded: list[Worker] = []

    status = work_module.do_work(Work("acme_jobs:worker", processes=2, announces=False), loaded.append)

    assert (status, capsys.readouterr().out) == (0, "")
    assert loaded == served


def test_one_of_several_processes_says_what_all_would_say(capsys: pytest.CaptureFixture[str]) -> None:
    """A process that is to be silent prints nothing, and its status tells."""
    status = work_module.do_work(Work("acme_nowhere:worker", processes=3, announces=False, explains=False))

    assert status == CANNOT_START
    assert capsys.readouterr() == ("", "")


def test_reload_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and the status is 2."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    status, _, said = run("worker", "acme_jobs:worker", "--reload")

    assert status == 2
    assert "pip install 'indiaai-core[reload]'" in said


@pytest.mark.anyio
async def test_changes_of_python_files_are_heard_of(tmp_path: Path) -> None:
    """Changed files are named, three at most; what is no Python, or lies in a cache, is not."""
    (tmp_path / "__pycache__").mkdir()
    heard: list[str] = []

    async def listen(scope: anyio.CancelScope) -> None:
        async for found in changes(tmp_path):
            heard.append(found)
            scope.cancel()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(listen, group.cancel_scope)
            while True:  # written again and again: nobody tells when the watch has begun
                for name in ("notes.txt", "__pycache__/job.py", "job1.py", "job2.py", "job3.py", "job4.py"):
                    (tmp_path / name).write_text(f"{time.monotonic()}")
                await anyio.sleep(0.1)

    assert heard == ["job1.py, job2.py, job3.py and 1 more"]
