"""indiaai: one application, written once, on whatever storage, queue and database its environment selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indiaai_core.errors import (
    BackendNotInstalled,
    BackendUnavailable,
    ConfigurationError,
    ContractMismatch,
    Fault,
    IndiaAIError,
    InvalidKey,
    InvalidRequest,
    InvalidSettings,
    InvalidTask,
    ObjectExists,
    ObjectNotFound,
    PluginConflict,
    PluginLoadError,
    QueueError,
    QueueFull,
    StorageError,
    TaskNotFound,
    UnknownBackend,
    UnknownLayer,
    Unsupported,
)
from indiaai_core.hooks import hookimpl
from indiaai_core.layers import Layer, Service
from indiaai_core.platform import Platform, current_platform, get_service, use_platform
from indiaai_core.queue import Counts, NewTask, QueueService, Task, TaskState, TaskStatus, get_queue_service
from indiaai_core.storage import ObjectInfo, StorageService, get_storage_service

if TYPE_CHECKING:
    from indiaai_core.settings import BackendSettings, SettingsConfigDict
    from indiaai_core.worker import Reject, Retry, Worker

__all__ = [
    "BackendNotInstalled",
    "BackendSettings",
    "BackendUnavailable",
    "ConfigurationError",
    "ContractMismatch",
    "Counts",
    "Fault",
    "IndiaAIError",
    "InvalidKey",
    "InvalidRequest",
    "InvalidSettings",
    "InvalidTask",
    "Layer",
    "NewTask",
    "ObjectExists",
    "ObjectInfo",
    "ObjectNotFound",
    "Platform",
    "PluginConflict",
    "PluginLoadError",
    "QueueError",
    "QueueFull",
    "QueueService",
    "Reject",
    "Retry",
    "Service",
    "SettingsConfigDict",
    "StorageError",
    "StorageService",
    "Task",
    "TaskNotFound",
    "TaskState",
    "TaskStatus",
    "UnknownBackend",
    "UnknownLayer",
    "Unsupported",
    "Worker",
    "current_platform",
    "get_queue_service",
    "get_service",
    "get_storage_service",
    "hookimpl",
    "use_platform",
]

# pydantic-settings takes 0.15 s to import and anyio's machinery 0.05 s: only those who use these names wait for them.
_LAZY = {
    "BackendSettings": "indiaai_core.settings",
    "SettingsConfigDict": "indiaai_core.settings",
    "Reject": "indiaai_core.worker",
    "Retry": "indiaai_core.worker",
    "Worker": "indiaai_core.worker",
}


def __getattr__(name: str) -> Any:
    """Import a heavy name when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
