"""Where a queue is, in words that may be shown; imported by what prints it."""

from __future__ import annotations

from indiaai_core.environment import Environment
from indiaai_core.queue import LAYER
from indiaai_core.selection import Slot, select

__all__ = ["queue_place"]


def queue_place(name: str | None, environment: Environment) -> str:
    """Return a queue's backend and, where the backend's settings have a `server` that may be shown, its server.

    Args:
        name: The named instance; None for the main one.
        environment: What selects it.

    Raises:
        ConfigurationError: The backend is not installed or not set up.
    """
    selection = select(Slot(LAYER.name, name), environment)
    backend = (environment.for_instance(name).get(LAYER.variable) or LAYER.default_backend).strip().lower()
    server = getattr(selection.settings, "server", "")
    place = f"{backend} at {server}" if isinstance(server, str) and server else backend
    return f"{name}: {place}" if name else place
