"""A stranger's layer that a test can break, for wrappers to stand in front of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from indiaai_core import BackendUnavailable, Layer, Service
from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment

__all__ = ["LAYER", "Echo", "unavailable", "wrap"]


class Echo(Service):
    """A stranger's service, whose operations fail as often and last as long as a test says."""

    def __init__(self) -> None:
        """Answer at once."""
        self.failures: list[Exception] = []
        self.seconds = 0.0
        self.calls: list[str] = []

    async def say(self, text: str) -> str:
        """Give the text back."""
        await self._answer("say")
        return text

    async def wait(self, timeout: float | None = None) -> str:
        """Wait for something."""
        await self._answer("wait")
        return "came"

    def count(self, limit: int = 3) -> AsyncIterator[int]:
        """Count."""
        return self._count(limit)

    async def _count(self, limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            await self._answer("count")
            yield number

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        await anyio.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)


LAYER = Layer("echo", Echo, "plain", is_repeatable=lambda operation, arguments: arguments.get("text") != "once")


def wrap(wrapper: Any, service: Any, variables: dict[str, object] | None = None, *, layer: Layer | str = LAYER) -> Any:
    """Put a wrapper in front of a service, of the stranger's layer unless another is named."""
    named = find_layer(layer) if isinstance(layer, str) else layer
    return wrapper(service, layer=named, environment=Environment.read(variables))


def unavailable(times: int = 1) -> list[Exception]:
    """Return errors that are worth a retry."""
    return [BackendUnavailable("busy") for _ in range(times)]
