"""A wrapper that times every operation of a service; imported by hook implementations that measure or trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from inspect import Parameter, signature
from time import perf_counter_ns
from typing import Any, cast

from indiaai_core.wrappers.delegation import Kind, Operation, closing, delegate

__all__ = ["Observer", "observe"]

Observer = Callable[[str, int, BaseException | None], None]
"""Hears of one finished operation: its name, how long it took in nanoseconds, and what it raised, if it did."""


def observe(service: Any, *, interface: type[Any], observer: Observer, attributes: Mapping[str, Any] | None = None) -> Any:
    """Return a service that tells an observer of each operation of another one.

    The observer is called in the operation's task when it has ended, so it must be quick and must not raise. A stream
    ends when it is exhausted or closed, a block, such as a session, with its body.

    Args:
        service: The service to observe.
        interface: The layer's interface.
        observer: What is told.
        attributes: As for `delegate`.
    """
    return delegate(service, interface=interface, around=partial(_observed, observer), attributes=attributes)


def _observed(observer: Observer, operation: Operation) -> Callable[..., Any]:
    if operation.kind is Kind.STREAM:
        return _observed_stream(observer, operation)
    if operation.kind is Kind.BLOCK:
        return _observed_block(observer, operation)

    # Written out with the operation's own parameters, as dataclasses writes `__init__`: to pack and unpack `*args, **kwargs`
    # would add 60 ns to the 230 that a call is slower by, of which two readings of the clock take half.
    parameters, arguments, defaults = _forwarding(operation.call)
    scope: dict[str, Any] = {"_clock": perf_counter_ns, "_observer": observer, "_operation": operation.call, **defaults}
    exec(_OBSERVED.format(name=operation.name, parameters=parameters, arguments=arguments), scope)  # noqa: S102 - names of a signature
    return cast(Callable[..., Any], scope["observed"])


_OBSERVED = """
async def observed({parameters}):
    _started = _clock()
    try:
        _result = await _operation({arguments})
    except BaseException as _error:
        _observer({name!r}, _clock() - _started, _error)
        raise
    _observer({name!r}, _clock() - _started, None)
    return _result
"""

_STARS: Mapping[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}


def _forwarding(operation: Callable[..., Any]) -> tuple[str, str, dict[str, Any]]:
    """Return an operation's parameters and how they are handed on, as source, and its defaults by the names used there."""
    parameters: list[str] = []
    arguments: list[str] = []
    defaults: dict[str, Any] = {}
    is_star_given = False
    for name, parameter in signature(operation).parameters.items():
        star = _STARS.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not is_star_given:
            parameters.append("*")
        is_star_given = is_star_given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        has_default = parameter.default is not parameter.empty
        if has_default:
            defaults[f"_default_{name}"] = parameter.default
        parameters.append(f"{star}{name}" + (f"=_default_{name}" if has_default else ""))
        arguments.append(f"{name}={name}" if parameter.kind is parameter.KEYWORD_ONLY else f"{star}{name}")
    return ", ".join(parameters), ", ".join(arguments), defaults


def _observed_stream(observer: Observer, operation: Operation) -> Callable[..., Any]:
    async def observed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _timed(observer, operation.name):
            async with closing(operation.call(*args, **kwargs)) as stream:
                async for item in stream:
                    yield item

    return observed


def _observed_block(observer: Observer, operation: Operation) -> Callable[..., Any]:
    @asynccontextmanager
    async def observed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _timed(observer, operation.name):
            async with operation.call(*args, **kwargs) as value:
                yield value

    return observed


@contextmanager
def _timed(observer: Observer, name: str) -> Iterator[None]:
    started = perf_counter_ns()
    failure: BaseException | None = None
    try:
        yield
    except GeneratorExit:  # the caller has seen enough: not a failure
        raise
    except BaseException as error:
        failure = error
        raise
    finally:
        observer(name, perf_counter_ns() - started, failure)
