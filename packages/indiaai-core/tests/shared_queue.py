"""A stranger's queue backend for the tests of the command line, and how they look into it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from typer.testing import CliRunner

from indiaai_core import TaskState, TaskStatus
from indiaai_core.cli.app import build_app

__all__ = ["SHARED_QUEUE", "START", "backend", "put", "run"]

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)

SHARED_QUEUE = """
    from dataclasses import replace

    from pydantic import SecretStr

    from indiaai_core import BackendSettings, Counts, QueueService, SettingsConfigDict, TaskNotFound, TaskState, TaskStatus
    from indiaai_core.queue import check_limit

    class AcmeSettings(BackendSettings):
        model_config = SettingsConfigDict(env_prefix="ACME_")
        url: SecretStr

        @property
        def server(self):
            return "acme://example.org/1"

    class Backend(QueueService):
        capabilities = frozenset({"cancel", "dead_letters", "counts", "purge"})
        settings_class = AcmeSettings
        records = {}
        failures = {}
        closed = 0

        def __init__(self, settings):
            self.settings = settings

        async def enqueue(self, task_name, task_data=None, **options):
            raise NotImplementedError

        async def dequeue(self, timeout=None):
            raise NotImplementedError

        async def update_status(self, task_id, status, data=None):
            raise NotImplementedError

        async def get_status(self, task_id):
            if task_id in self.failures:
                raise self.failures[task_id]
            try:
                return self.records[task_id]
            except KeyError:
                raise TaskNotFound(task_id) from None

        async def cancel(self, task_id):
            if (await self.get_status(task_id)).is_final:
                return False
            self.records[task_id] = replace(self.records[task_id], state=TaskState.CANCELLED)
            return True

        async def dead_letters(self, limit=100):
            check_limit(limit)
            dead = [it for it in self.records.values() if it.state is TaskState.FAILED]
            return sorted(dead, key=lambda it: it.finished_at, reverse=True)[:limit]

        async def requeue(self, task_id):
            if (await self.get_status(task_id)).state not in (TaskState.FAILED, TaskState.CANCELLED):
                return False
            self.records[task_id] = self.after_requeue(self.records[task_id])
            return True

        @staticmethod
        def after_requeue(status):
            return replace(status, state=TaskState.PENDING, attempts=0)

        async def counts(self):
            states = [it.state for it in self.records.values()]
            return Counts(pending=states.count(TaskState.PENDING), dead=states.count(TaskState.FAILED))

        async def purge(self):
            gone = [it.id for it in self.records.values() if it.state in (TaskState.PENDING, TaskState.FAILED)]
            for task_id in gone:
                del self.records[task_id]
            return len(gone)

        async def aclose(self):
            type(self).closed += 1
"""


def backend() -> Any:
    """Return the backend's class, once a command has loaded it."""
    import acme_queue_acme_module  # type: ignore[import-not-found]  # written by the test's fixture

    return acme_queue_acme_module.Backend


def put(count: int, state: TaskState = TaskState.FAILED, **values: Any) -> list[str]:
    """Put tasks into the queue, each a second later than the one before, and return their ids."""
    ids = [f"{state}-{len(backend().records) + number}" for number in range(count)]
    for number, task_id in enumerate(ids):
        at = START + timedelta(seconds=number)
        found = TaskStatus(task_id, "process", state, 1, START, started_at=START, finished_at=at, **values)
        backend().records[task_id] = found
    return ids


def run(*arguments: str, keys: str | None = None) -> tuple[int, str, str]:
    """Run the command line; return its status, what it printed, and what it printed to the error stream."""
    result = CliRunner().invoke(build_app(), list(arguments), input=keys)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    sys.stdout.flush()
    return result.exit_code, result.stdout, result.stderr
