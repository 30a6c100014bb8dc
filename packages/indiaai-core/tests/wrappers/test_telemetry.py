"""The wrapper `telemetry`: spans of every operation, and one trace from the request to the worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from indiaai_core import BackendUnavailable, ConfigurationError, InvalidTask, Layer, NewTask, Service, Task, Worker
from indiaai_core.queue import CARRIER_KEY
from indiaai_core.wrappers.telemetry import telemetry
from worker_fakes import FakeQueue
from wrapper_fakes import Echo, unavailable, wrap

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What the SDK of this process tells its spans; an SDK is set once in a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """An exporter that has seen nothing yet."""
    exporter.clear()
    yield exporter
    exporter.clear()


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    """Return the one span of a name."""
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


async def test_every_operation_has_a_span(echo: Echo, spans: InMemorySpanExporter) -> None:
    """A call and a stream are told with the layer, the instance and their kind, inside of what called them."""
    service = wrap(telemetry, echo)

    with trace.get_tracer("test").start_as_current_span("request") as request:
        await service.say("hello")
        assert [number async for number in service.count()] == [0, 1, 2]

    for name in ("echo.say", "echo.count"):
        span = named(spans, name)
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.kind is SpanKind.CLIENT
        assert dict(span.attributes or {}) == {"indiaai.layer": "echo", "indiaai.instance": "default"}


async def test_what_an_operation_raised_is_told(echo: Echo, spans: InMemorySpanExporter) -> None:
    """A failed operation's span has the error's class and is marked as failed."""
    echo.failures = unavailable(1)

    with pytest.raises(BackendUnavailable):
        await wrap(telemetry, echo).say("hello")

    span = named(spans, "echo.say")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "BackendUnavailable"


async def test_a_block_has_a_span_from_its_beginning_to_its_end(spans: InMemorySpanExporter) -> None:
    """What an interface gives as a context manager, such as a session, is one operation."""

    class Sessions(Service):
        @asynccontextmanager
        async def session(self) -> AsyncIterator[str]:
            """Give something for a while."""
            yield "session"

    service = wrap(telemetry, Sessions(), layer=Layer("sessions", Sessions, "plain"))

    async with service.session() as session:
        assert spans.get_finished_spans() == ()

    assert session == "session"
    assert named(spans, "sessions.session").status.status_code is StatusCode.UNSET


async def work_of(queue: Any) -> list[dict[str, Any]]:
    """Work all tasks of a queue and return the data their handler was given."""
    seen: list[dict[str, Any]] = []
    worker = Worker()

    @worker.task("process")
    async def process(task: Task) -> None:
        seen.append(task.data)
        with trace.get_tracer("test").start_as_current_span("in the handler"):
            pass

    await worker.drain(queue)
    return seen


@pytest.mark.parametrize("is_batch", [False, True])
async def test_a_trace_goes_on_in_the_worker(spans: InMemorySpanExporter, *, is_batch: bool) -> None:
    """The handler's span is in the trace of the request that enqueued its task, and its data is what was enqueued."""
    queue = wrap(telemetry, FakeQueue(), layer="queue")

    with trace.get_tracer("test").start_as_current_span("request") as request:
        await (queue.enqueue_many([NewTask("process", {"a": 1})]) if is_batch else queue.enqueue("process", {"a": 1}))
    seen = await work_of(queue)

    assert seen == [{"a": 1}]
    work = named(spans, "process process")
    assert work.kind is SpanKind.CONSUMER
    assert work.context is not None
    assert work.context.trace_id == request.get_span_context().trace_id
    inner = named(spans, "in the handler")
    assert inner.parent is not None
    assert inner.parent.span_id == work.context.span_id
    assert named(spans, f"queue.enqueue{'_many' if is_batch else ''}").kind is SpanKind.PRODUCER


async def test_a_worker_that_does_not_trace_hides_the_trace_from_its_handlers(spans: InMemorySpanExporter) -> None:
    """The application that enqueues may have the wrapper, and the worker not: the handler's data is the same."""
    inner = FakeQueue()
    queue = wrap(telemetry, inner, layer="queue")

    with trace.get_tracer("test").start_as_current_span("request"):
        await queue.enqueue("process")
    delivered = inner.entries[next(iter(inner.entries))].new.data

    assert CARRIER_KEY in delivered
    assert await work_of(inner) == [{}]


@pytest.mark.parametrize("carrier", ["x", 7, {"traceparent": "nonsense"}, {"traceparent": 7}, None])
async def test_a_hostile_trace_is_no_failure(spans: InMemorySpanExporter, carrier: Any) -> None:
    """What stands in the place of a trace and is none begins a new one."""
    inner = FakeQueue()
    await inner.enqueue("process", {CARRIER_KEY: carrier, "a": 1})

    assert await work_of(wrap(telemetry, inner, layer="queue")) == [{"a": 1}]


async def test_a_task_that_has_no_room_for_the_trace_goes_without_it(spans: InMemorySpanExporter) -> None:
    """A task that the queue took before the wrapper was there, it takes with it; a wrong one is as wrong as before."""

    class Small(FakeQueue):
        async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
            """Take small tasks only."""
            if len(task_data or {}) > 1:
                raise InvalidTask("too large")
            return await super().enqueue(task_name, task_data, **options)

    inner = Small()
    queue = wrap(telemetry, inner, layer="queue")

    with trace.get_tracer("test").start_as_current_span("request"):
        await queue.enqueue("process", {"a": 1})
        with pytest.raises(InvalidTask):
            await queue.enqueue("process", {"a": 1, "b": 2})
        with pytest.raises(InvalidTask):
            await queue.enqueue("process", "no object")

    assert [entry.new.data for entry in inner.entries.values()] == [{"a": 1}]


def test_without_its_library_the_start_says_what_to_install(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigurationError, match=r'pip install "indiaai-core\[telemetry\]"'):
        wrap(telemetry, echo)
