"""What is asked of a backend whose methods do not take it; imported by the interface alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter, Signature, isfunction, signature
from typing import Any

from indiaai_core.errors import Unsupported

__all__ = ["OPTIONS", "refuse_unknown_options"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "upload": ("if_absent", "metadata", "cache_control", "content_disposition"),
    "get_url": ("cache_control", "content_disposition"),
}
"""The keywords of each method that a backend may leave out; each is a capability of that name."""


def refuse_unknown_options(backend: type[Any]) -> None:
    """Let a backend's methods refuse with `Unsupported` the keywords that they do not take.

    A plugin that was written before a keyword came goes on working, and a small one need not write down what it cannot
    do. Methods that take all of them stay as they are, and cost nothing.

    Args:
        backend: The backend's class. Only what its own body defines is looked at.
    """
    for name, options in OPTIONS.items():
        method = vars(backend).get(name)
        if isfunction(method) and (missing := _missing(method, options)):
            setattr(backend, name, _refusing(method, missing))


def _missing(method: Callable[..., Any], options: tuple[str, ...]) -> tuple[str, ...]:
    parameters = signature(method).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return ()
    return tuple(option for option in options if option not in parameters)


def _refusing(
    method: Callable[..., Coroutine[Any, Any, str]], missing: tuple[str, ...]
) -> Callable[..., Coroutine[Any, Any, str]]:
    @wraps(method)
    async def refusing(self: Any, *args: Any, **kwargs: Any) -> str:
        for name in missing:
            if kwargs.pop(name, None):
                raise Unsupported(type(self).__name__, name)
        return await method(self, *args, **kwargs)

    # `wraps` shows the method's own parameters, by which a wrapper in front of the service would refuse the others itself.
    refusing.__dict__["__signature__"] = _widened(method, missing)
    return refusing


def _widened(method: Callable[..., Any], options: tuple[str, ...]) -> Signature:
    own = signature(method)
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in options]
    return own.replace(parameters=[*own.parameters.values(), *added])
