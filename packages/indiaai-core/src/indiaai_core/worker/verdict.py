"""What becomes of an attempt that did not complete; imported by the worker's run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from indiaai_core.errors import BackendUnavailable
from indiaai_core.queue import MAX_DELAY_SECONDS, Task
from indiaai_core.worker.arguments import InvalidArgument
from indiaai_core.worker.handlers import Handler
from indiaai_core.worker.outcomes import Outcome, OutcomeKind, Reject, Retry, describe, format_traceback

__all__ = ["as_json_value", "judge_error", "judge_spent", "judge_timeout"]

_JSON_TYPES = (dict, list, str, int, float, bool, type(None))


def judge_error(error: BaseException, *, task: Task, handler: Handler) -> Outcome:
    """Judge an attempt that ended with an exception."""
    if isinstance(error, Reject | InvalidArgument):
        return Outcome(task, OutcomeKind.FAILED, error=_describe_plainly(error))
    if isinstance(error, Retry):
        return _again(task, handler, str(error), after=error.after)
    at_least = (error.retry_after or 0.0) if isinstance(error, BackendUnavailable) else 0.0
    return _again(task, handler, describe(error), traceback=format_traceback(error), at_least=at_least)


def judge_timeout(task: Task, handler: Handler) -> Outcome:
    """Judge an attempt that took longer than its handler may."""
    rest = "" if handler.is_async else " Its thread cannot be stopped and works on; its result is discarded."
    return _again(task, handler, f"The handler did not finish within its timeout of {handler.timeout_seconds:g} s.{rest}")


def judge_spent(task: Task, handler: Handler) -> Outcome:
    """Judge a delivery beyond the last attempt: whoever had the one before died or lost its lease, perhaps by this task."""
    error = (
        f"The task was delivered {task.attempt} times and may be tried {handler.limit(task)} times: the worker that had "
        f"it before ended without settling it. It was not tried again."
    )
    return Outcome(task, OutcomeKind.FAILED, error=error)


def as_json_value(result: Any, handler: Handler) -> Any:
    """Return a handler's result as what the queue can write: pydantic models are dumped, the rest is left as it is.

    Raises:
        Retry, Reject: It is one: the handler returned what it might have raised.
        Reject: It is a model that cannot be dumped.
    """
    if isinstance(result, _JSON_TYPES):
        return result
    if isinstance(result, Retry | Reject):
        raise result
    from pydantic import BaseModel

    if not isinstance(result, BaseModel):
        return result
    try:
        return result.model_dump(mode="json")
    except Exception as error:
        raise Reject(f"The result of the handler {handler.name!r} is not JSON: {describe(error)}") from error


def _describe_plainly(error: BaseException) -> str:
    # Without the type of the exception, which says nothing where we know the reason.
    return describe(error).removeprefix(f"{type(error).__name__}: ")


def _again(
    task: Task,
    handler: Handler,
    error: str,
    *,
    traceback: str | None = None,
    after: float | None = None,
    at_least: float = 0.0,
) -> Outcome:
    limit = handler.limit(task)
    if task.attempt >= limit:
        return Outcome(task, OutcomeKind.FAILED, error=error, traceback=traceback)
    delay = handler.backoff.delay_seconds(task.attempt) if after is None else after
    return Outcome(
        # The limit goes along: the queue must not make a dead letter of it sooner than the handler says.
        replace(task, max_attempts=limit),
        OutcomeKind.RETRIED,
        error=error,
        traceback=traceback,
        delay_seconds=min(max(delay, at_least), MAX_DELAY_SECONDS),
    )
