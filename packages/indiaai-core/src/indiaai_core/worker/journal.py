"""What a worker writes to the log about each delivery: never the task's data; imported by the worker's run."""

from __future__ import annotations

import logging

from indiaai_core.worker.outcomes import Outcome, OutcomeKind

__all__ = ["log_outcome"]

logger = logging.getLogger("indiaai.worker")

_LEVELS = {
    OutcomeKind.COMPLETED: logging.DEBUG,
    OutcomeKind.FAILED: logging.ERROR,
    OutcomeKind.RETRIED: logging.WARNING,
    OutcomeKind.RELEASED: logging.INFO,
    OutcomeKind.LOST: logging.WARNING,
}


def log_outcome(outcome: Outcome) -> None:
    """Write one line about a delivery, and the traceback where there is one."""
    level = _LEVELS[outcome.kind]
    if not logger.isEnabledFor(level):
        return
    task = outcome.task
    when = f", again in {outcome.delay_seconds:.1f} s" if outcome.kind is OutcomeKind.RETRIED else ""
    why = f": {outcome.error}" if outcome.error else ""
    where = f"\n{outcome.traceback}" if outcome.traceback else ""
    kind = outcome.kind.value
    extra = {"outcome": kind}
    logger.log(level, "%s %s %s at attempt %d%s%s%s", task.name, task.id, kind, task.attempt, when, why, where, extra=extra)
