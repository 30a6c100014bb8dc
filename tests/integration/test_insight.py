"""What an operator sees: wrappers by settings over every layer and strangers' backends, and one trace over two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from sqlalchemy import text
from starlette.testclient import TestClient

from commands import run_long, run_worker, wait_for
from indiaai_core import Platform, get_queue_service, get_storage_service
from indiaai_core.fastapi import Queue, install
from indiaai_db import TransactionConflict, get_database_service
from indiaai_db.testing import PostgresqlServer
from motoserver import moto_server
from redisprocess import redis_server

pytestmark = pytest.mark.anyio

WATCHED = "telemetry,metrics,timeout"

JOBS = """
import logging
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from indiaai_core import Worker

trace.set_tracer_provider(TracerProvider())
worker = Worker()

@worker.task("process")
async def process(task: dict) -> None:
    logging.getLogger("jobs").warning("working", extra={"given": sorted(task)})
"""


STRANGE = """
import asyncio, json
from indiaai_core import Platform, get_service, get_storage_service
from indiaai_notify import Message
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

def counted(layer, operation):
    labels = {"layer": layer, "operation": operation, "error": "", "instance": "default"}
    return REGISTRY.get_sample_value("indiaai_operation_seconds_count", labels)

async def keys():
    return [info.key async for info in get_storage_service().list()]

async def main():
    async with Platform():
        await get_storage_service().upload("bill", b"content")
        await get_service("notify").send(Message("asha@example.in", "नमस्ते", "Your bill is there."))
        seen = await keys()
    async with Platform({"STORAGE_WRAPPERS": ""}):
        kept = await keys()
    spans = [span.name for span in exporter.get_finished_spans()]
    counts = [counted("storage", "upload"), counted("notify", "send")]
    print(json.dumps({"seen": seen, "kept": kept, "counted": counts, "spans": spans}))

asyncio.run(main())
"""


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


def counted(layer: str, operation: str, error: str = "") -> float:
    """Return how often this process has counted an operation."""
    labels = {"layer": layer, "operation": operation, "error": error, "instance": "default"}
    return REGISTRY.get_sample_value("indiaai_operation_seconds_count", labels) or 0


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """Return the spans of a name."""
    return [span for span in spans.get_finished_spans() if span.name == name]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Give the variables of a database."""
    if request.param == "sqlite":
        yield {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": tmp_path / "app.db"}
    else:
        with PostgresqlServer() as server:
            yield {"DATABASE_TYPE": "postgresql", "DATABASE_URL": server.url}


async def test_a_database_s_sessions_are_seen(database: dict[str, Any], spans: InMemorySpanExporter) -> None:
    """A session, a run and what went wrong in one are spans and are counted, and all of it works as without."""
    before = [counted("database", "session"), counted("database", "run"), counted("database", "session", "TransactionConflict")]
    async with Platform({**database, "DATABASE_WRAPPERS": WATCHED}):
        service = get_database_service()
        async with service.session() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        assert await service.run(lambda session: session.scalar(text("SELECT 2"))) == 2
        with pytest.raises(TransactionConflict):
            async with service.session():
                raise TransactionConflict("lost")
        assert service.engine.dialect.name == service.dialect_name

    after = [counted("database", "session"), counted("database", "run"), counted("database", "session", "TransactionConflict")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
    assert [span.status.is_ok for span in named(spans, "database.session")].count(False) >= 1
    assert len(named(spans, "database.run")) == 1


def test_strangers_backends_are_seen_and_wrapped(tmp_path: Path, strangers: Path) -> None:
    """An S3 backend and a whole layer that nobody here knows are counted, traced, bounded, retried and kept under a prefix."""
    with moto_server("documents") as endpoint:
        variables = {
            "PYTHONPATH": f"{strangers}",
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "STORAGE_TYPE": "s3",
            "S3_BUCKET_NAME": "documents",
            "STORAGE_WRAPPERS": f"{WATCHED},retry,prefix",
            "STORAGE_PREFIX": "tenants/asha/",
            "NOTIFY_WRAPPERS": WATCHED,
        }
        run = subprocess.run(
            [sys.executable, "-c", STRANGE],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["seen"], said["kept"], said["counted"]) == (["bill"], ["tenants/asha/bill"], [1, 1])
    assert {"storage.upload", "storage.list", "notify.send"} <= set(said["spans"])


def test_one_trace_leads_from_the_request_to_the_worker_s_log(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """The worker is another process: its JSON line has the request's trace, and the task; the handler sees what was given."""
    (tmp_path / "jobs.py").write_text(JOBS, "utf-8")
    (tmp_path / "redis").mkdir()
    app = FastAPI()

    @app.post("/documents")
    async def take(queue: Queue) -> str:
        with trace.get_tracer("app").start_as_current_span("request"):
            return await queue.enqueue("process", {"key": "bill"})

    with redis_server(tmp_path / "redis") as url:
        variables = {"QUEUE_TYPE": "redis", "REDIS_URL": url, "QUEUE_WRAPPERS": "telemetry,metrics"}
        files = {"LOCAL_STORAGE_PATH": f"{tmp_path / 'storage'}", "SQLITE_DB_PATH": f"{tmp_path / 'app.db'}"}
        install(app, platform=Platform({**variables, **files}))
        with TestClient(app) as client:
            task_id = client.post("/documents").json()
            with run_worker(
                "jobs:worker", "--log-format", "json", folder=tmp_path, variables={**variables, **files}
            ) as running:
                line = wait_for(lambda: _line(running.said(), "working"), running.said)
                assert running.stop() == 0
            answer = client.get("/metrics").text

    (request,) = named(spans, "request")
    (enqueue,) = named(spans, "queue.enqueue")
    assert enqueue.parent is not None
    assert request.context is not None
    assert enqueue.parent.span_id == request.context.span_id
    assert line["trace_id"] == f"{request.context.trace_id:032x}"
    assert (line["task_id"], line["task_name"], line["attempt"], line["given"]) == (task_id, "process", 1, ["key"])
    assert 'indiaai_operation_seconds_count{error="",instance="default",layer="queue",operation="enqueue"}' in answer


@pytest.mark.parametrize("option", [["--json"], ["--log-format", "json"]], ids=" ".join)
def test_a_relay_s_log_can_be_read_by_programs(tmp_path: Path, option: list[str]) -> None:
    """It says what it does, an object a line and nothing else, and ends with 0 when it is told to."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as url:
        variables = {"QUEUE_TYPE": "redis", "REDIS_URL": url, "SQLITE_DB_PATH": f"{tmp_path / 'app.db'}"}
        with run_long("db", "relay", *option, folder=tmp_path, variables=variables) as running:
            line = wait_for(
                lambda: _line(running.said(), "Relaying from SqliteDatabaseService to RedisQueueService"), running.said
            )
            assert running.stop() == 0

    assert (line["level"], line["logger"], line["process"]) == ("INFO", "indiaai.outbox", running.process.pid)
    assert all(json.loads(text) for text in running.said().splitlines())


def _line(said: str, message: str) -> dict[str, Any] | None:
    found = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    return next((line for line in found if line.get("message") == message), None)


async def test_nothing_stands_in_front_where_nobody_asks(tmp_path: Path) -> None:
    """The application holds the backends themselves."""
    async with Platform({"LOCAL_STORAGE_PATH": tmp_path, "SQLITE_DB_PATH": tmp_path / "app.db"}):
        services = [get_storage_service(), get_queue_service(), get_database_service()]

    assert [type(service).__name__ for service in services] == [
        "LocalStorageService",
        "InMemoryQueueService",
        "SqliteDatabaseService",
    ]
