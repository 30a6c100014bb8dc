"""Logs for machines: one JSON object a line, with the task that it is about; imported by applications and the command line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from indiaai_core.worker.context import current_task

__all__ = ["JsonFormatter"]

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object on one line, in UTF-8's own letters.

    Its names: `time` (ISO 8601, UTC), `level`, `logger`, `message`, `process`; `task_id`, `task_name` and `attempt` where a
    handler is at work; `trace_id` and `span_id` where OpenTelemetry has a span; `exception` with the traceback; and what
    was given as `extra`. It asks for the task where it is called: in the thread that logs, so not behind a `QueueHandler`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **_task(),
            **_span(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        given = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        return json.dumps({**given, **entry}, ensure_ascii=False, default=str)


def _task() -> dict[str, Any]:
    try:
        task = current_task()
    except LookupError:
        return {}
    return {"task_id": task.id, "task_name": task.name, "attempt": task.attempt}


def _span() -> dict[str, str]:
    # Whoever makes spans has imported it: nobody else is to pay for the import.
    trace = sys.modules.get("opentelemetry.trace")
    context = trace.get_current_span().get_span_context() if trace else None
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
