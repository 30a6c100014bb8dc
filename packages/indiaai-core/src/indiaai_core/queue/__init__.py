"""The queue layer: tasks that are delivered at least once."""

from indiaai_core.queue.factory import get_queue_service
from indiaai_core.queue.layer import LAYER
from indiaai_core.queue.service import QueueService
from indiaai_core.queue.task import (
    CARRIER_KEY,
    DEFAULT_MAX_ATTEMPTS,
    FINAL_STATES,
    MAX_DELAY_SECONDS,
    MAX_JSON_DEPTH,
    MAX_TASK_BYTES,
    Counts,
    NewTask,
    Task,
    TaskState,
    TaskStatus,
    check_delay,
    check_limit,
    encode_json,
)
from indiaai_core.queue.update import MAX_ERROR_CHARACTERS, StatusUpdate

__all__ = [
    "CARRIER_KEY",
    "DEFAULT_MAX_ATTEMPTS",
    "FINAL_STATES",
    "LAYER",
    "MAX_DELAY_SECONDS",
    "MAX_ERROR_CHARACTERS",
    "MAX_JSON_DEPTH",
    "MAX_TASK_BYTES",
    "Counts",
    "NewTask",
    "QueueService",
    "StatusUpdate",
    "Task",
    "TaskState",
    "TaskStatus",
    "check_delay",
    "check_limit",
    "encode_json",
    "get_queue_service",
]
