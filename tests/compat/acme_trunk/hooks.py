"""Every hook that there is."""

from __future__ import annotations

from typing import Any

from indiaai_core import Platform, StorageService, hookimpl
from indiaai_core.hooks import Wrapper
from indiaai_core.wrappers import observe

__all__ = ["HEARD", "add_commands", "service_closed", "service_opened", "wrap_service"]

HEARD: list[str] = []
"""What the hooks and the observer were told, in order."""


@hookimpl
def wrap_service(platform: Platform, layer: str, name: str | None) -> Wrapper | None:
    """Watch each storage."""
    if layer != "storage":
        return None
    return lambda service: observe(service, interface=StorageService, observer=_hear)


def _hear(operation: str, nanoseconds: int, error: BaseException | None) -> None:
    HEARD.append(f"{operation} {type(error).__name__ if error else 'done'}")


@hookimpl
def service_opened(layer: str, name: str | None, service: Any) -> None:
    """Note what was opened."""
    HEARD.append(f"opened {layer}")


@hookimpl
def service_closed(layer: str, name: str | None, service: Any) -> None:
    """Note what was closed."""
    HEARD.append(f"closed {layer}")


@hookimpl
def add_commands(app: Any) -> None:
    """Add a command."""
    app.command("trunk")(_trunk)


def _trunk() -> None:
    """Say that the trunk is there."""
    print("The trunk is there.")  # noqa: T201 - what the command is for
