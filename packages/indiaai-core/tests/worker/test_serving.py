"""A worker as a process of its own: finding it, and what it refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from indiaai_core import ConfigurationError, Platform, Worker, get_queue_service
from indiaai_core.worker import load_worker, serve
from worker_fakes import FakeQueue, LonelyQueue


@pytest.fixture(autouse=True)
def _clean_path(tmp_path: Path) -> Iterator[None]:
    """Leave the import path and the modules as they were."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """Give a module `tasks_here` in the working directory, with workers and other things."""
    (tmp_path / "tasks_here.py").write_text(
        "from indiaai_core import Worker\n"
        "worker = Worker()\n"
        "class Application:\n"
        "    jobs = Worker('jobs')\n"
        "def process(): ...\n"
    )
    return tmp_path


def test_a_worker_is_found_by_its_name(application: Path) -> None:
    """`module:attribute` finds a worker in the working directory, also inside of something else."""
    found = [load_worker("tasks_here:worker"), load_worker("tasks_here:Application.jobs")]

    assert [type(worker) for worker in found] == [Worker, Worker]
    assert [dict(worker.queues) for worker in found] == [{None: 1}, {"jobs": 1}]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tasks_here", "it is not of the form module:attribute. Expected such as main:worker"),
        ("tasks_here:", "it is not of the form module:attribute"),
        ("./tasks_here.py:worker", "it is not of the form module:attribute"),
        ("nowhere:worker", "there is no module 'nowhere'. Expected a module in "),
        ("nowhere.tasks:worker", "there is no module 'nowhere'"),
        ("tasks_here.more:worker", "tasks_here.more"),
        ("tasks_here:jobs", "tasks_here has no attribute 'jobs'. Expected one of tasks_here:worker"),
        ("tasks_here:process", "'process' is a function, not a Worker. Expected one of tasks_here:worker"),
        ("tasks_here:Application", "'Application' is the class Application, not a Worker"),
        ("empty_here:worker", "empty_here has no attribute 'worker'. Expected a Worker in that module"),
        ("broken_here:worker", "broken_here does not import: ZeroDivisionError: division by zero"),
        ("leaving_here:worker", "leaving_here does not import: SystemExit: 3"),
        ("needy_here:worker", "needy_here does not import: No module named 'absent_library'"),
    ],
)
def test_a_worker_that_is_not_there_is_a_plain_error(target: str, message: str, application: Path) -> None:
    """What is wrong with the name, the module or the attribute is said, and what would be right."""
    (application / "empty_here.py").write_text("")
    (application / "broken_here.py").write_text("1 / 0")
    (application / "leaving_here.py").write_text("import sys; sys.exit(3)")
    (application / "needy_here.py").write_text("import absent_library")

    with pytest.raises(ConfigurationError) as caught:
        load_worker(target)

    assert str(caught.value).startswith(f"There is no worker at {target!r}: ")
    assert message in str(caught.value)
    assert caught.value.faults[0].variable == target


@pytest.mark.anyio
@pytest.mark.usefixtures("site")
async def test_serving_opens_the_platform_and_closes_it(worker: Worker) -> None:
    """`serve` works the platform's queue, which handlers see by the factory, and closes what the platform made."""
    queue = FakeQueue()
    platform = Platform()
    platform.override("queue", queue)
    seen: list[bool] = []

    @worker.task("process")
    async def process() -> None:
        seen.append(get_queue_service() is queue)
        worker.stop()

    await queue.enqueue("process")
    await serve(worker, platform)

    assert seen == [True]


@pytest.mark.anyio
@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("name", "variable"), [(None, "QUEUE_TYPE"), ("bulk", "BULK_QUEUE_TYPE")])
async def test_serving_a_queue_that_lives_in_one_process_is_refused(name: str | None, variable: str) -> None:
    """A worker's own process would work an empty queue for ever: the error says so, and what to do."""
    worker = Worker(name)
    worker.task("process")(lambda: None)
    platform = Platform()
    platform.override("queue", LonelyQueue(), name)

    with pytest.raises(ConfigurationError, match=rf"install\(app, worker=worker\); or set {variable} to a queue") as caught:
        await serve(worker, platform)

    assert caught.value.faults[0].variable == variable
