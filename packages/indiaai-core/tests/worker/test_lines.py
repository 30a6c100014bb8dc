"""Logs for machines: one object a line, with the task that it is about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from indiaai_core import Worker
from indiaai_core.worker import JsonFormatter
from worker_fakes import FakeQueue


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is written by the logger `acme` and the worker's."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    loggers = [logging.getLogger("acme"), logging.getLogger("indiaai.worker")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield stream
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def entries(lines: io.StringIO) -> list[dict[str, Any]]:
    """Read every line."""
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_record_is_one_object_on_one_line(lines: io.StringIO) -> None:
    """Newlines, quotes and any script come through, what was given along too, and nothing takes the record's own names."""
    logging.getLogger("acme").warning('बिल "%s"\nsecond line', 7, extra={"amount": 3, "path": io, "level": "mine"})

    [entry] = entries(lines)
    assert entry["message"] == 'बिल "7"\nsecond line'
    assert "बिल" in lines.getvalue()
    assert (entry["level"], entry["logger"], entry["amount"]) == ("WARNING", "acme", 3)
    assert entry["time"].endswith("+00:00")
    assert "task_id" not in entry


def test_an_exception_is_in_it(lines: io.StringIO) -> None:
    """The traceback is one of the names."""
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("acme").exception("failed")

    [entry] = entries(lines)
    assert "ValueError: bad" in entry["exception"]


@pytest.mark.anyio
async def test_what_a_handler_logs_names_its_task(lines: io.StringIO) -> None:
    """In the event loop, in a thread, and in the worker's own line about what became of it."""
    queue, worker = FakeQueue(), Worker()

    @worker.task("async")
    async def in_the_loop() -> None:
        logging.getLogger("acme").info("working")

    @worker.task("plain")
    def in_a_thread() -> None:
        logging.getLogger("acme").info("working")

    ids = [await queue.enqueue("async"), await queue.enqueue("plain")]
    await worker.drain(queue)

    said = [entry for entry in entries(lines) if entry["message"] == "working"]
    assert [(entry["task_id"], entry["task_name"], entry["attempt"]) for entry in said] == [
        (ids[0], "async", 1),
        (ids[1], "plain", 1),
    ]
    ended = [entry for entry in entries(lines) if entry.get("outcome") == "completed"]
    assert [entry["task_id"] for entry in ended] == ids


def test_a_span_is_named(lines: io.StringIO) -> None:
    """A line leads to its trace."""
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        logging.getLogger("acme").info("inside")

    [entry] = entries(lines)
    assert int(entry["trace_id"], 16) == span.get_span_context().trace_id
    assert int(entry["span_id"], 16) == span.get_span_context().span_id
