"""A wrapper that times every operation of a service; imported by hook implementations that measure or trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from inspect import Parameter, isasyncgenfunction, signature
from time import perf_counter_ns
from typing import Any, cast

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

    # Written out with the operation's own parameters, as dataclasses writes `__init__`: to pack and unpack `*args, **kwargs`
    # would add 60 ns to the 230 that a call is slower by, of which two readings of the clock take half.
    parameters, arguments, defaults = _forwarding(operation)
    scope: dict[str, Any] = {"_clock": perf_counter_ns, "_observer": observer, "_operation": operation, **defaults}
    exec(_OBSERVED.format(name=name, parameters=parameters, arguments=arguments), scope)  # noqa: S102 - names of a signature
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
