"""What a worker runs, in a few lines for whoever starts it; imported by what starts workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from indiaai_core.cli.place import queue_place
from indiaai_core.environment import Environment
from indiaai_core.queue import DEFAULT_MAX_ATTEMPTS
from indiaai_core.worker import Worker
from indiaai_core.worker.handlers import Handler

__all__ = ["summary"]


def summary(worker: Worker, environment: Environment, *, target: str, processes: int = 1) -> Iterator[str]:
    """Give the lines that say what is run: where the queue is, which tasks how often and how long, what is due when.

    Args:
        worker: The worker.
        environment: What selects its queue.
        target: Where the worker is.
        processes: How many processes run it.

    Raises:
        ConfigurationError: The queue's backend is not installed or not set up.
    """
    yield f"Worker {target}"
    for queue, weight in worker.queues.items():
        share = f", weight {weight}" if len(worker.queues) > 1 else ""
        yield _line("queue", f"{queue_place(queue, environment)}{share}")
    width = max((len(name) for name in worker.handlers), default=0)
    for name, handler in sorted(worker.handlers.items()):
        yield _line("task", f"{name:{width}}  {_limits(handler)}")
    for name, schedule in sorted(worker.schedules.items()):
        due = schedule.next_after(datetime.now(UTC)).astimezone(schedule.timezone)
        yield _line("schedule", f"{name:{width}}  {schedule.expression}, next at {due:%Y-%m-%d %H:%M:%S %Z}")
    each = f" in each of {processes} processes" if processes > 1 else ""
    yield _line("at once", f"{worker.concurrency} task{'s' * (worker.concurrency > 1)}{each}")


def _limits(handler: Handler) -> str:
    attempts = handler.max_attempts or DEFAULT_MAX_ATTEMPTS
    limits = [f"{attempts} attempt{'s' * (attempts > 1)}"]
    if handler.timeout_seconds:
        limits.append(f"{handler.timeout_seconds:g} s each")
    if handler.rate_limit:
        limits.append(f"{1 / handler.rate_limit.interval_seconds:g} a second")
    return ", ".join(limits)


def _line(label: str, text: str) -> str:
    return f"  {label:9} {text}"
