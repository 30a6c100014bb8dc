"""The queue layer: tasks that are delivered at least once."""

from indiaai_core.queue.factory import get_queue_service
from indiaai_core.queue.layer import LAYER
from indiaai_core.queue.service import QueueService
from indiaai_core.queue.task import (
    DEFAULT_MAX_ATTEMPTS,
    FINAL_STATES,
    MAX_DELAY_SECONDS,
    MAX_TASK_BYTES,
    Counts,
    NewTask,
    Task,
    TaskState,
    TaskStatus,
    encode_json,
)

__all__ = [
    "DEFAULT_MAX_ATTEMPTS",
    "FINAL_STATES",
    "LAYER",
    "MAX_DELAY_SECONDS",
    "MAX_TASK_BYTES",
    "Counts",
    "NewTask",
    "QueueService",
    "Task",
    "TaskState",
    "TaskStatus",
    "encode_json",
    "get_queue_service",
]
