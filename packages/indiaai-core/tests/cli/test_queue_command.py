"""`indiaai queue`: what is in a queue, and what can be done about it, for people and for programs."""

from __future__ import annotations

import io
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, QueueFull, TaskState
from indiaai_core.cli import operation, output
from installed import SitePackages
from shared_queue import SHARED_QUEUE, START, backend, put, run


@pytest.fixture(autouse=True)
def _shared(shared_queue: None) -> None:
    """Every test here has the shared queue."""


def read(*arguments: str) -> Any:
    """Run a command that prints JSON and succeeds, and return what it says."""
    status, printed, _ = run("queue", *arguments, "--json")
    assert status == 0
    return json.loads(printed)


def test_counts_are_a_table_and_json() -> None:
    """A person reads a line for each state, a program an object."""
    put(2)
    put(1, TaskState.PENDING)

    status, printed, _ = run("queue", "counts")

    assert status == 0
    assert printed == "tasks\tcount\npending\t1\ndelayed\t0\nprocessing\t0\ndead\t2\n"
    assert read("counts") == {"pending": 1, "delayed": 0, "processing": 0, "dead": 2}


def test_show_tells_what_is_known_and_nothing_else() -> None:
    """What the queue does not know has no line; JSON is printed as JSON, times as ISO 8601, the traceback as it is."""
    (task_id,) = put(1, error="ValueError: no", traceback="Traceback\n  in process\n", progress={"part": 0.5})

    status, printed, _ = run("queue", "show", task_id)
    found = read("show", task_id)

    assert status == 0
    assert 'progress\t{"part": 0.5}\n' in printed
    assert "finished at\t2026-11-24T03:00:00+00:00\n" in printed
    assert printed.endswith("error\tValueError: no\nTraceback\n  in process\n\n")
    assert "result" not in printed
    assert (found["state"], found["result"], found["finished_at"]) == ("failed", None, "2026-11-24T03:00:00+00:00")


def test_show_of_a_waiting_task_is_short() -> None:
    """What has not failed has no traceback to show."""
    (task_id,) = put(1, TaskState.PENDING)

    _, printed, _ = run("queue", "show", task_id)

    assert f"id\t{task_id}\nname\tprocess\nstate\tpending\n" in printed
    assert "error" not in printed


def test_show_says_that_there_is_no_such_task() -> None:
    """An unknown id is one sentence on the error stream and status 1."""
    status, printed, said = run("queue", "show", "nobody")

    assert (status, printed) == (1, "")
    assert said.startswith("There is no task with the id 'nobody'")


def test_what_a_task_says_does_not_steer_the_terminal() -> None:
    """Control characters of a task's error are shown and not obeyed; letters of every script stay."""
    (task_id,) = put(1, error="\x1b[2J\r\u202e gone क्‍ष", traceback="\x1b]0;title\x07")

    _, shown, _ = run("queue", "show", task_id)
    _, listed, _ = run("queue", "dead")

    assert "\x1b" not in shown + listed
    assert "\\x1b[2J" in listed
    assert "\\u202e gone क्‍ष" in listed


def test_dead_letters_come_latest_first_with_the_first_line_of_their_error() -> None:
    """Id, name, attempts, time and the beginning of the error, one line each."""
    ids = put(3, error="ValueError: no\nmore\tof it")

    status, printed, _ = run("queue", "dead", "--limit", "2")

    assert status == 0
    assert printed == (
        "id\ttask\tattempts\tfailed at\terror\n"
        f"{ids[2]}\tprocess\t1\t2026-11-24 03:00:02 UTC\tValueError: no\n"
        f"{ids[1]}\tprocess\t1\t2026-11-24 03:00:01 UTC\tValueError: no\n"
    )
    assert [letter["id"] for letter in read("dead")] == ids[::-1]


def test_a_person_hears_that_there_are_more_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that was cut short says of how many it is a part; it is a table on a terminal."""
    put(3)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")

    status = operation.Operator(None, as_json=False).dead(2)

    assert status == 0
    assert "note 2 of 3 dead letters; --limit shows more" in terminal.getvalue()
    assert "\t" not in terminal.getvalue()
    assert not re.search(r"\x1b\[[34]", terminal.getvalue()), "a colour"


def test_named_tasks_are_requeued_and_each_refusal_has_its_reason() -> None:
    """What could be requeued was; the rest is named with the reason, and the status is 1."""
    failed = put(2)
    (pending,) = put(1, TaskState.PENDING)

    status, printed, _ = run("queue", "requeue", *failed, pending, "nobody", failed[0])

    assert status == 1
    assert f"FAIL {pending}: it is neither failed nor cancelled\n" in printed
    assert "FAIL nobody: there is no such task, or its record has expired\n" in printed
    assert printed.endswith("2 tasks requeued\n")
    assert {backend().records[task_id].state for task_id in failed} == {TaskState.PENDING}


def test_requeue_needs_ids_or_all() -> None:
    """Neither and both are refused as misuse, with status 2."""
    statuses = [run("queue", "requeue")[0], run("queue", "requeue", "a", "--all-dead")[0]]

    assert statuses == [2, 2]


def test_all_dead_letters_are_requeued_whatever_their_number() -> None:
    """Batch after batch until none is left."""
    put(operation.BATCH * 2 + 3)

    found = read("requeue", "--all-dead")

    assert len(found["requeued"]) == operation.BATCH * 2 + 3
    assert (found["refused"], found["error"]) == ({}, None)
    assert read("counts")["dead"] == 0


def test_requeue_of_all_ends_although_they_fail_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is dead again before the next batch is requeued once, and does not hide those behind it."""
    ids = put(operation.BATCH + 5)
    again: list[str] = []

    def fail_again(status: Any) -> Any:
        again.append(status.id)
        return type(status)(status.id, "process", TaskState.FAILED, 1, START, finished_at=START + timedelta(days=1))

    monkeypatch.setattr(backend(), "after_requeue", staticmethod(fail_again))

    found = read("requeue", "--all-dead")

    assert sorted(found["requeued"]) == sorted(again) == sorted(ids)


def test_requeue_of_all_leaves_what_is_not_failed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that somebody else requeued between the list and the call is named, and not asked for again."""
    (task_id,) = put(1)
    letters = [backend().records[task_id]]
    put(1, TaskState.PENDING)

    async def stale(*_: object) -> list[Any]:
        return letters

    monkeypatch.setattr(backend(), "dead_letters", stale)
    monkeypatch.setattr(backend(), "requeue", lambda *_: _false())

    status, printed, _ = run("queue", "requeue", "--all-dead")

    assert (status, printed) == (1, f"FAIL {task_id}: it is not failed any more\n0 tasks requeued\n")


async def _false() -> bool:
    return False


def test_a_full_queue_ends_the_requeueing_and_says_how_far_it_came() -> None:
    """What was done stays done, the reason stands on the error stream, and the status is 1."""
    first, second = put(2)
    backend().failures[first] = QueueFull("the queue holds 10 tasks, as many as it may")

    status, printed, said = run("queue", "requeue", second, first)

    assert (status, printed) == (1, "1 task requeued\n")
    assert said == "the queue holds 10 tasks, as many as it may\n"


def test_an_error_ends_the_requeueing_of_all_too() -> None:
    """The next batch is not asked for from a queue that has no room for this one."""
    (task_id,) = put(1)
    backend().failures[task_id] = QueueFull("the queue is full")

    assert run("queue", "requeue", "--all-dead") == (1, "0 tasks requeued\n", "the queue is full\n")


def test_after_an_error_that_all_would_meet_no_more_is_tried() -> None:
    """The rest of ten thousand calls is not made to a server that is gone."""
    ids = put(operation.SIDE_BY_SIDE * 3)
    backend().failures.update(dict.fromkeys(ids, BackendUnavailable("no answer")))

    found = run("queue", "requeue", *ids, "--json")

    assert found[0] == 1
    assert json.loads(found[1]) == {"requeued": [], "refused": {}, "error": "no answer"}


def test_tasks_are_cancelled() -> None:
    """A pending one is; one that had come to an end is named."""
    (pending,), (failed,) = put(1, TaskState.PENDING), put(1)

    status, printed, _ = run("queue", "cancel", pending, failed)

    assert status == 1
    assert printed == f"FAIL {failed}: it had come to an end\n1 task cancelled\n"
    assert backend().records[pending].state is TaskState.CANCELLED


def test_purge_without_a_person_needs_yes() -> None:
    """Where nobody can be asked nothing is forgotten, the way to go ahead is named, and the status is 2."""
    put(2)

    refused = run("queue", "purge")
    forgotten = run("queue", "purge", "--yes")

    assert (refused[0], refused[1]) == (2, "")
    assert "--yes" in refused[2]
    assert (forgotten[0], forgotten[1]) == (0, "2 tasks forgotten\n")


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 3)])
def test_purge_asks_a_person(answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question names what is forgotten and where, without a secret; only a yes goes ahead."""
    put(2)
    put(1, TaskState.PENDING)
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    asked = io.StringIO()
    monkeypatch.setattr(sys, "stderr", asked)

    status = operation.Operator(None, as_json=False).purge(is_confirmed=False)

    assert "Forget 1 tasks that wait and 2 dead letters of acme at acme://example.org/1, for good?" in asked.getvalue()
    assert len(backend().records) == left
    assert status == (1 if left else 0)


def test_purge_asks_also_where_nothing_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that cannot count is asked about as a whole."""
    put(1)
    monkeypatch.setattr(backend(), "capabilities", frozenset({"purge"}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    asked = io.StringIO()
    monkeypatch.setattr(sys, "stderr", asked)

    operation.Operator(None, as_json=True).purge(is_confirmed=False)

    assert "Forget all tasks that wait and all dead letters of acme" in asked.getvalue()
    assert backend().records == {}


def test_what_a_backend_cannot_do_is_one_sentence(monkeypatch: pytest.MonkeyPatch, site: SitePackages) -> None:
    """`Unsupported` is said as it is, with status 1."""
    lines = SHARED_QUEUE.replace('"dead_letters", "counts", ', "")
    lines = lines.replace("async def counts", "async def no_counts")
    site.backend("bare", layer="queue", source=lines)
    monkeypatch.setenv("QUEUE_TYPE", "bare")

    status, printed, said = run("queue", "counts")

    assert (status, printed) == (1, "")
    assert said.startswith("Backend does not support 'counts'.")


def test_an_unreachable_server_is_one_sentence() -> None:
    """No traceback, no secret, status 1; the service is closed all the same."""
    put(0)
    backend().failures["a"] = BackendUnavailable("acme at acme://example.org/1 does not answer")
    closed = backend().closed

    found = run("queue", "show", "a")

    assert found == (1, "", "acme at acme://example.org/1 does not answer\n")
    assert backend().closed == closed + 1


def test_a_stranger_s_error_is_one_line() -> None:
    """What no backend should raise is named with its class, without a traceback."""
    put(0)
    backend().failures["a"] = RuntimeError("boom")

    assert run("queue", "show", "a") == (1, "", "RuntimeError: boom\n")


def test_a_queue_of_one_process_is_not_shown_as_empty(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros would mislead: the command says whose queue that is, how to look at it, and ends with status 1."""
    site.backend("lonely", layer="queue", source=SHARED_QUEUE.replace('"cancel", ', '"in_process", '))
    monkeypatch.setenv("QUEUE_TYPE", "lonely")

    status, printed, said = run("queue", "counts")

    assert (status, printed) == (1, "")
    assert "lives in the application's process" in said
    assert "await get_queue_service().counts()" in said
    assert "set QUEUE_TYPE to a queue that processes share" in said


def test_a_named_instance_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--queue archive` reads `ARCHIVE_…`: what is missing there is said with that name."""
    monkeypatch.setenv("ARCHIVE_QUEUE_TYPE", "nowhere")

    status, _, said = run("queue", "counts", "--queue", "archive")

    assert status == 1
    assert "ARCHIVE_QUEUE_TYPE='nowhere'" in said


def test_long_work_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A terminal has a line that replaces itself and goes away, a log a line now and then."""
    seen: dict[bool, str] = {}
    monkeypatch.setattr(output, "PIPE_SECONDS", 0.0)
    monkeypatch.setattr(output, "TERMINAL_SECONDS", 0.0)

    for is_terminal in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda answer=is_terminal: answer)
        monkeypatch.setattr(sys, "stderr", stream)
        with output.Progress("requeued", 2 if is_terminal else None) as progress:
            progress.advance()
            progress.advance()
        seen[is_terminal] = stream.getvalue()

    assert seen[True] == "\r1 of 2 requeued\x1b[K\r2 of 2 requeued\x1b[K\r\x1b[K"
    assert seen[False] == "1 requeued\n2 requeued\n"
