"""The way to the current service; imported by applications."""

from __future__ import annotations

from typing import cast

from indiaai_core import get_service
from indiaai_notify.service import NotifyService

__all__ = ["get_notify_service"]


def get_notify_service(name: str | None = None) -> NotifyService:
    """Return the current platform's service: made at the first call, the same one after that.

    Args:
        name: A named instance, whose variables are read with the prefix `<NAME>_` first; None for the main one.

    Raises:
        ConfigurationError: The backend that `NOTIFY_TYPE` selects is not installed, does not load or is not set up.
    """
    return cast(NotifyService, get_service("notify", name))
