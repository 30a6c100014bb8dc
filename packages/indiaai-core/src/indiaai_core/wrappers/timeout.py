"""The wrapper `timeout`: gives up what the backend does not do in time; selected by `<LAYER>_WRAPPERS=timeout`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
from pydantic import Field

from indiaai_core.environment import Environment
from indiaai_core.errors import BackendUnavailable
from indiaai_core.layers import Layer
from indiaai_core.settings import SettingsConfigDict
from indiaai_core.wrapper_settings import WrapperSettings
from indiaai_core.wrappers.delegation import Kind, Operation, closing, delegate

__all__ = ["TimeoutSettings", "timeout"]

_WAITING = ("timeout", "timeout_seconds")
"""Parameters that say how long the caller is content to wait: the backend gets its own time on top."""


class TimeoutSettings(WrapperSettings):
    """What the wrapper `timeout` goes by."""

    model_config = SettingsConfigDict(env_prefix="<LAYER>_TIMEOUT_")

    seconds: float = Field(default=60.0, gt=0, description="seconds that an operation may take")
    each: Mapping[str, float] = Field(
        default_factory=dict, description='other seconds for some, as JSON such as {"upload": 600, "stat": 5}'
    )


def timeout(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of a service, and raise `BackendUnavailable` where an operation takes longer than it may.

    The operation is cancelled then. Of a stream each item has that time. Where the caller says how long to wait, as
    `dequeue` takes it, that comes on top. A block, such as a session, takes as long as its body.

    Raises:
        InvalidSettings: A setting has a wrong value.
    """
    settings = TimeoutSettings.of(layer, environment)
    return delegate(service, interface=layer.interface, around=partial(_timed, settings, f"{layer.name}."))


def _timed(settings: TimeoutSettings, place: str, operation: Operation) -> Callable[..., Any]:
    seconds = settings.each.get(operation.name, settings.seconds)
    what = f"{place}{operation.name}"
    waiting = next((name for name in _WAITING if name in operation.signature.parameters), None)

    async def call(*args: Any, **kwargs: Any) -> Any:
        with _limit(what, seconds + _patience(operation, waiting, args, kwargs)):
            return await operation.call(*args, **kwargs)

    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with closing(operation.call(*args, **kwargs)) as items:
            while True:
                with _limit(what, seconds):
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                yield item

    return {Kind.CALL: call, Kind.STREAM: stream, Kind.BLOCK: operation.call}[operation.kind]


def _patience(operation: Operation, waiting: str | None, args: Any, kwargs: Any) -> float:
    """Return the seconds that the caller is content to wait."""
    if waiting is None:
        return 0.0
    given = operation.signature.bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments[waiting] or 0.0


@contextmanager
def _limit(what: str, seconds: float) -> Iterator[None]:
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise BackendUnavailable(
            f"{what} did not end within {seconds:g} s, and was given up: it may have been done or not. "
            f"Look at what it stands on, or allow it more time."
        )
