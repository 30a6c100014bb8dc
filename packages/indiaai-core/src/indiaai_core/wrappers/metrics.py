"""The wrapper `metrics`: counts and times every operation for Prometheus; selected by `<LAYER>_WRAPPERS=metrics`.

Needs the extra `indiaai-core[metrics]`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import anyio

from indiaai_core.environment import Environment
from indiaai_core.errors import IndiaAIError
from indiaai_core.layers import Layer
from indiaai_core.queue import QueueService
from indiaai_core.wrappers.observation import observe
from indiaai_core.wrappers.requirement import needing

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge, Histogram

__all__ = ["count_tasks", "metrics", "new_registry"]

_COUNT_SECONDS = 2.0

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def metrics(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of a service, and keep the seconds of each operation as `indiaai_operation_seconds` in this process.

    Its labels are `layer`, `instance`, `operation` and `error`, the class of what was raised, empty for success. What
    stands in front of a queue also times the handlers of its tasks: `indiaai_task_seconds`, by `task`.

    Raises:
        ConfigurationError: The Prometheus client is not installed.
    """
    with needing("metrics", layer=layer, environment=environment):
        operations, tasks = _operation_seconds(), _task_seconds()
    instance = environment.instance or "default"
    children: dict[tuple[str, str], Any] = {}  # to ask the client for one takes as long as to count

    def observer(operation: str, nanoseconds: int, error: BaseException | None) -> None:
        label = (operation, type(error).__name__ if error else "")
        child = children.get(label)
        if child is None:
            child = children[label] = operations.labels(layer.name, instance, *label)
        child.observe(nanoseconds / 1e9)

    async def timed(task: Any, call_next: Any) -> Any:
        started, failure = perf_counter_ns(), ""
        try:
            return await call_next(task)
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            tasks.labels(instance, task.name, failure).observe((perf_counter_ns() - started) / 1e9)

    around_tasks = getattr(service, "middleware", None)
    own = {} if around_tasks is None else {"middleware": (timed, *around_tasks)}
    return observe(service, interface=layer.interface, observer=observer, attributes=own)


def new_registry() -> CollectorRegistry:
    """Return what a scrape is to see: this process's numbers, or those of all where `PROMETHEUS_MULTIPROC_DIR` is set."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # its library says so
    return registry


async def count_tasks(queues: Mapping[str | None, QueueService]) -> None:
    """Set `indiaai_queue_tasks` to what the queues hold now; one that does not say within 2 seconds keeps its last number.

    Args:
        queues: The services, by the name of the instance.
    """
    for instance, queue in queues.items():
        if "counts" in queue.capabilities:
            with anyio.move_on_after(_COUNT_SECONDS), suppress(IndiaAIError):
                for state, tasks in asdict(await queue.counts()).items():
                    _tasks().labels(instance or "default", state).set(tasks)


@cache
def _tasks() -> Gauge:
    from prometheus_client import Gauge

    text = "Tasks that a queue holds, when it was last asked."
    return Gauge("indiaai_queue_tasks", text, ["queue", "state"], multiprocess_mode="mostrecent")


@cache
def _operation_seconds() -> Histogram:
    from prometheus_client import Histogram

    labels = ["layer", "instance", "operation", "error"]
    return Histogram("indiaai_operation_seconds", "Seconds that operations of services took.", labels, buckets=_BUCKETS)


@cache
def _task_seconds() -> Histogram:
    from prometheus_client import Histogram

    labels = ["queue", "task", "error"]
    return Histogram("indiaai_task_seconds", "Seconds that attempts of tasks took.", labels, buckets=_BUCKETS)
