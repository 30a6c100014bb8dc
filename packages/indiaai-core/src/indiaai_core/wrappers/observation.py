"""A wrapper that times every operation of a service; imported by hook implementations that measure or trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from inspect import isasyncgenfunction
from time import perf_counter_ns
from typing import Any

from indiaai_core.wrappers.delegation import delegate

__all__ = ["Observer", "observe"]

Observer = Callable[[str, int, BaseException | None], None]
"""Hears of one finished operation: its name, how long it took in nanoseconds, and what it raised, if it did."""


def observe(service: Any, *, interface: type[Any], observer: Observer) -> Any:
    """Return a service that tells an observer of each operation of another one.

    The observer is called in the operation's task when it has ended, so it must be quick and must not raise. A stream
    ends when it is exhausted or closed.

    Args:
        service: The service to observe.
        interface: The layer's interface.
        observer: What is told.
    """
    return delegate(service, interface=interface, around=partial(_observed, observer))


def _observed(observer: Observer, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    if isasyncgenfunction(operation):
        return _observed_stream(observer, name, operation)

    async def observed(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter_ns()
        try:
            # Most calls have no keywords, and passing on an empty dict costs as much as reading the clock.
            result = await (operation(*args, **kwargs) if kwargs else operation(*args))
        except BaseException as error:
            observer(name, perf_counter_ns() - started, error)
            raise
        observer(name, perf_counter_ns() - started, None)
        return result

    return observed


def _observed_stream(observer: Observer, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    async def observed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        started = perf_counter_ns()
        failure: BaseException | None = None
        stream = operation(*args, **kwargs)
        try:
            async for item in stream:
                yield item
        except GeneratorExit:  # the caller has seen enough: not a failure
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            await stream.aclose()
            observer(name, perf_counter_ns() - started, failure)

    return observed
