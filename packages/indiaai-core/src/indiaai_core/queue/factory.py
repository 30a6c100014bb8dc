"""The way to the current queue service; imported by applications."""

from __future__ import annotations

from typing import cast

from indiaai_core.platform import get_service
from indiaai_core.queue.service import QueueService

__all__ = ["get_queue_service"]


def get_queue_service(name: str | None = None) -> QueueService:
    """Return the queue service of the current platform: made at the first call, the same one after that.

    Args:
        name: A named instance, whose variables are read with the prefix `<NAME>_` first; None for the main one.

    Raises:
        ConfigurationError: The backend that `QUEUE_TYPE` selects is not installed, does not load or is not set up.
    """
    return cast(QueueService, get_service("queue", name))
