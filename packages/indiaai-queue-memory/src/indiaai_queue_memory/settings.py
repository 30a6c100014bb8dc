"""The settings of the queue backend `memory`; imported by its service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from indiaai_core.queue import MAX_TASK_BYTES
from indiaai_core.settings import BackendSettings, SettingsConfigDict

__all__ = ["MemorySettings"]


class MemorySettings(BackendSettings):
    """How much the queue holds, and for how long; each is read from the variable `MEMORY_QUEUE_<NAME>`."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="MEMORY_QUEUE_")

    lease_seconds: float = Field(
        default=30.0, gt=0, le=7 * 24 * 3600, description="seconds for which a delivery is the only one, at most 7 days"
    )
    max_tasks: int = Field(default=100_000, gt=0, description="the most tasks that wait, are delayed or are under a lease")
    full_wait_seconds: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds for which `enqueue` waits for room in a full queue; 0: not at all"
    )
    max_task_bytes: int = Field(
        default=MAX_TASK_BYTES,
        gt=0,
        le=MAX_TASK_BYTES,
        description="the most bytes of a task's data, result or progress as JSON",
    )
    keep_finished_seconds: float = Field(
        default=86_400.0, ge=0, description="seconds for which the record of a finished task is kept"
    )
    keep_finished_tasks: int = Field(
        default=10_000, ge=0, description="the most records kept of completed and cancelled tasks, and as many dead letters"
    )
