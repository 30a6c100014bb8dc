"""The wrapper `metrics`: what Prometheus is told of operations, tasks and queues."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from indiaai_core import BackendUnavailable, ConfigurationError, Counts, Platform, Worker
from indiaai_core.fastapi import install
from indiaai_core.wrappers.metrics import count_tasks, metrics, new_registry
from installed import SitePackages
from worker_fakes import FakeQueue
from wrapper_fakes import Echo, unavailable, wrap

pytestmark = pytest.mark.anyio


def value(name: str, **labels: str) -> float:
    """Return a sample of the process's registry, 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_every_operation_is_counted_by_what_became_of_it(echo: Echo) -> None:
    """Successes and failures are told apart by the error's class."""
    service = wrap(metrics, echo)
    labels = {"layer": "echo", "instance": "default"}
    before = value("indiaai_operation_seconds_count", operation="say", error="", **labels)

    await service.say("hello")
    await service.say("hello")
    echo.failures = unavailable(1)
    with pytest.raises(BackendUnavailable):
        await service.wait()

    assert value("indiaai_operation_seconds_count", operation="say", error="", **labels) == before + 2
    assert value("indiaai_operation_seconds_count", operation="wait", error="BackendUnavailable", **labels) >= 1


async def test_a_queue_s_wrapper_times_its_tasks_too() -> None:
    """The worker's handlers are timed by the wrapper in front of their queue, each task by its name."""
    queue = wrap(metrics, FakeQueue(), layer="queue")
    worker = Worker()

    @worker.task("measure")
    async def measure() -> None:
        pass

    @worker.task("measure-badly", max_attempts=1)
    async def measure_badly() -> None:
        raise ValueError("bad")

    await queue.enqueue("measure")
    await queue.enqueue("measure-badly")
    await worker.drain(queue)

    assert value("indiaai_task_seconds_count", queue="default", task="measure", error="") == 1
    assert value("indiaai_task_seconds_count", queue="default", task="measure-badly", error="ValueError") == 1


async def test_queues_tell_how_much_they_hold() -> None:
    """At a scrape each queue that can count is asked; one that cannot now keeps its last number."""

    class Counting(FakeQueue):
        capabilities = frozenset({"counts"})

        async def counts(self) -> Counts:
            """Tell, once."""
            if self.entries:
                raise BackendUnavailable("gone")
            return Counts(pending=7, dead=2)

    queue = Counting()

    await count_tasks({"bulk": queue, None: FakeQueue()})
    await queue.enqueue("process")
    await count_tasks({"bulk": queue})

    assert value("indiaai_queue_tasks", queue="bulk", state="pending") == 7
    assert value("indiaai_queue_tasks", queue="bulk", state="dead") == 2


@pytest.mark.parametrize("is_named", [True, False])
def test_metrics_are_served_where_a_variable_names_the_wrapper(
    site: SitePackages, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    """`/metrics` is there with the wrapper and, for applications that have one of their own, not without it."""
    site.backend("acme")
    monkeypatch.setenv("STORAGE_TYPE", "acme")
    monkeypatch.setenv("STORAGE_WRAPPERS", "retry, Metrics" if is_named else "retry")
    site.install("core-wrappers", entry_points=WRAPPERS)
    app = FastAPI()
    install(app, platform=Platform())

    @app.get("/use")
    async def use() -> str:
        from indiaai_core import get_storage_service

        return await get_storage_service().upload("key", b"content")

    with TestClient(app) as client:
        client.get("/use")
        answer = client.get("/metrics")

    assert answer.status_code == (200 if is_named else 404)
    assert ('operation="upload"' in answer.text) is is_named


WRAPPERS = """
    [indiaai.wrappers]
    metrics = indiaai_core.wrappers.metrics:metrics
    retry = indiaai_core.wrappers.retry:retry
"""


def test_several_processes_are_scraped_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where Prometheus's client is told of a folder, the numbers of all processes are given."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert new_registry() is not REGISTRY


def test_without_its_library_the_start_says_what_to_install(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    from indiaai_core.wrappers import metrics as module

    monkeypatch.setattr(module, "_operation_seconds", module._operation_seconds.__wrapped__)  # what it made is kept

    with pytest.raises(ConfigurationError, match=r'pip install "indiaai-core\[metrics\]"'):
        wrap(metrics, echo)
