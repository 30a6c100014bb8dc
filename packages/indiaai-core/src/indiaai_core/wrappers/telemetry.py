"""The wrapper `telemetry`: OpenTelemetry spans and durations of every operation; selected by `<LAYER>_WRAPPERS=telemetry`.

Needs the extra `indiaai-core[telemetry]`, which is OpenTelemetry's API alone: the application brings an SDK and says where
spans go; without one nothing is recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from inspect import BoundArguments
from time import perf_counter
from typing import TYPE_CHECKING, Any

from indiaai_core.environment import Environment
from indiaai_core.errors import InvalidTask
from indiaai_core.layers import Layer
from indiaai_core.queue import CARRIER_KEY, QueueService, Task
from indiaai_core.wrappers.delegation import Kind, Operation, closing, delegate
from indiaai_core.wrappers.requirement import needing

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Tracer

__all__ = ["telemetry"]


def telemetry(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of a service, and tell OpenTelemetry of each operation: a span, and `indiaai.operation.duration`.

    What stands in front of a queue carries the trace through it: `enqueue` puts the current context into the task's data
    under `CARRIER_KEY`, and the worker goes on with it in the span of the handler, whose data is what was enqueued.

    Raises:
        ConfigurationError: OpenTelemetry's API is not installed.
    """
    with needing("telemetry", layer=layer, environment=environment):
        from opentelemetry import metrics, trace
    seconds = metrics.get_meter("indiaai").create_histogram(
        "indiaai.operation.duration", unit="s", description="How long operations of services take"
    )
    attributes = {"indiaai.layer": layer.name, "indiaai.instance": environment.instance or "default"}
    tracing = _Tracing(trace.get_tracer("indiaai"), seconds, attributes)
    if not issubclass(layer.interface, QueueService):
        return delegate(service, interface=layer.interface, around=tracing.around)
    own = {"middleware": (tracing.work, *service.middleware)}
    return delegate(service, interface=layer.interface, around=tracing.around_queue, attributes=own)


@dataclass(frozen=True)
class _Tracing:
    tracer: Tracer
    seconds: Histogram
    attributes: Mapping[str, str]

    def around(self, operation: Operation) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._span(operation.name):
                return await operation.call(*args, **kwargs)

        # Those below are left and entered again between items, so their span cannot be the current one all the while.
        async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with self._span(operation.name, is_current=False):
                async with closing(operation.call(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        @asynccontextmanager
        async def block(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with self._span(operation.name, is_current=False):
                async with operation.call(*args, **kwargs) as value:
                    yield value

        replacements: dict[Kind, Callable[..., Any]] = {Kind.CALL: call, Kind.STREAM: stream, Kind.BLOCK: block}
        return replacements[operation.kind]

    def around_queue(self, operation: Operation) -> Callable[..., Any]:
        if operation.name not in ("enqueue", "enqueue_many"):
            return self.around(operation)
        from opentelemetry.trace import SpanKind

        async def produce(*args: Any, **kwargs: Any) -> Any:
            with self._span(operation.name, kind=SpanKind.PRODUCER):
                given, carrying = _carried(operation, args, kwargs)
                try:
                    return await operation.call(*carrying.args, **carrying.kwargs)
                except InvalidTask:  # nothing was queued: what has no room for the trace goes without it
                    return await operation.call(*given.args, **given.kwargs)

        return produce

    async def work(self, task: Task, call_next: Any) -> Any:
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        carrier = task.data.get(CARRIER_KEY)
        texts = {name: text for name, text in carrier.items() if isinstance(text, str)} if isinstance(carrier, dict) else {}
        attributes: dict[str, str | int] = {**self.attributes, "indiaai.task.id": task.id, "indiaai.task.attempt": task.attempt}
        name = f"process {task.name}"
        with self.tracer.start_as_current_span(name, context=extract(texts), kind=SpanKind.CONSUMER, attributes=attributes):
            return await call_next(task)

    @contextmanager
    def _span(self, operation: str, *, kind: Any = None, is_current: bool = True) -> Iterator[None]:
        from opentelemetry.trace import SpanKind, use_span

        name = f"{self.attributes['indiaai.layer']}.{operation}"
        span = self.tracer.start_span(name, kind=kind or SpanKind.CLIENT, attributes=self.attributes)
        labels = {**self.attributes, "indiaai.operation": operation}
        started = perf_counter()
        try:
            if is_current:
                with use_span(span, record_exception=False, set_status_on_exception=False):
                    yield
            else:
                yield
        except Exception as error:
            labels["error.type"] = type(error).__name__
            _fail(span, error)
            raise
        finally:
            self.seconds.record(perf_counter() - started, labels)
            span.end()


def _fail(span: Any, error: Exception) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", type(error).__name__)
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _carried(operation: Operation, args: Any, kwargs: Any) -> tuple[BoundArguments, BoundArguments]:
    """Return the arguments as they were given, and with the current trace in the data of each task."""
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    given = operation.signature.bind(*args, **kwargs)
    if operation.name == "enqueue_many":
        given.arguments["tasks"] = list(given.arguments["tasks"])
    carrying = operation.signature.bind(*given.args, **given.kwargs)
    if carrier and operation.name == "enqueue_many":
        carrying.arguments["tasks"] = [
            replace(task, data={**task.data, CARRIER_KEY: carrier}) for task in given.arguments["tasks"]
        ]
    elif carrier and isinstance(given.arguments.get("task_data") or {}, Mapping):
        carrying.arguments["task_data"] = {**(given.arguments.get("task_data") or {}), CARRIER_KEY: carrier}
    return given, carrying
