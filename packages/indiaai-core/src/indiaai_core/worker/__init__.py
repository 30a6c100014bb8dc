"""The worker: registered functions run for the tasks of a queue; at least once, with retries, leases and a graceful stop."""

from indiaai_core.worker.backoff import Backoff
from indiaai_core.worker.context import TaskContext, current_task
from indiaai_core.worker.handlers import CallNext, Middleware
from indiaai_core.worker.lines import JsonFormatter
from indiaai_core.worker.outcomes import Outcome, OutcomeKind, Reject, Retry
from indiaai_core.worker.serving import load_worker, serve
from indiaai_core.worker.worker import Worker

__all__ = [
    "Backoff",
    "CallNext",
    "JsonFormatter",
    "Middleware",
    "Outcome",
    "OutcomeKind",
    "Reject",
    "Retry",
    "TaskContext",
    "Worker",
    "current_task",
    "load_worker",
    "serve",
]
