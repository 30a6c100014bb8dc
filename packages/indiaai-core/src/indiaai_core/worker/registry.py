"""Which handler works which task, and what is due when; imported by the worker and its run."""

from __future__ import annotations

import difflib

from indiaai_core.worker.cron import Schedule
from indiaai_core.worker.handlers import Handler, Middleware
from indiaai_core.worker.rate import RateLimit

__all__ = ["Registry"]


class Registry:
    """The handlers and schedules of one worker.

    Attributes:
        handlers: By task name.
        schedules: By task name.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.handlers: dict[str, Handler] = {}
        self.schedules: dict[str, Schedule] = {}

    @property
    def rate_limits(self) -> dict[str, RateLimit]:
        """The rate limits, by task name."""
        return {name: handler.rate_limit for name, handler in self.handlers.items() if handler.rate_limit is not None}

    def add(self, handler: Handler) -> None:
        """Register a handler.

        Raises:
            ValueError: There is one for its name.
        """
        taken = self.handlers.get(handler.name)
        if taken is not None:
            raise ValueError(
                f"Two handlers for the task {handler.name!r}: {_where(taken)} and {_where(handler)}. Rename one of them."
            )
        self.handlers[handler.name] = handler

    def include(self, other: Registry, middleware: list[Middleware]) -> None:
        """Register what another registry has now, with this worker's middleware around it.

        Raises:
            ValueError: A name is in both; nothing was registered.
        """
        clashes = sorted(self.handlers.keys() & other.handlers.keys())
        if clashes:
            raise ValueError(f"Both workers have a handler for {', '.join(clashes)}. Rename one of each.")
        for handler in other.handlers.values():
            self.add(handler.within(middleware))
        self.schedules.update(other.schedules)

    def explain_unknown(self, name: str) -> str:
        """Say that no handler works a task name, and which names are worked."""
        likely = difflib.get_close_matches(name, self.handlers, n=1, cutoff=0.6)
        hint = f" Did you mean {likely[0]!r}?" if likely else ""
        return (
            f"No handler is registered for the task {name!r}.{hint} Registered: {', '.join(sorted(self.handlers))}. "
            f"Register one, and requeue the task."
        )


def _where(handler: Handler) -> str:
    function = handler.function
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
