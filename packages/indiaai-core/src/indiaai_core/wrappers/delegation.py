"""Stands one service in front of another with the same interface; imported by the wrappers beside it and by plugins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction, isfunction
from typing import Any

__all__ = ["Around", "delegate"]

Around = Callable[[str, Callable[..., Any]], Callable[..., Any]]
"""Takes an operation's name and its bound method, and returns what is called in its place."""

_LIFECYCLE = frozenset({"check", "probe", "aclose"})


def delegate(service: Any, *, interface: type[Any], around: Around) -> Any:
    """Return a service that is an instance of the interface and hands every call to another one.

    Attributes, and the lifecycle (`check`, `probe`, `aclose`), go through as they are; each asynchronous operation of the
    interface goes through what `around` makes of it, once, here: a call then costs what `around` adds and no look-up.
    What the service has beyond the interface stays reachable.

    Args:
        service: The service that does the work.
        interface: The layer's interface.
        around: Makes the replacement of an operation.
    """
    proxy = object.__new__(_proxy_class(interface))  # type: ignore[arg-type] # mypy takes a class for unhashable
    proxy.__dict__["_inner"] = service
    for name in _operations(interface):  # type: ignore[arg-type] # likewise
        method = getattr(service, name)
        is_wrapped = name not in _LIFECYCLE and (iscoroutinefunction(method) or isasyncgenfunction(method))
        proxy.__dict__[name] = around(name, method) if is_wrapped else method
    return proxy


@cache
def _operations(interface: Any) -> tuple[str, ...]:
    return tuple(name for name, member in _public_members(interface) if _is_operation(member))


@cache
def _proxy_class(interface: Any) -> type[Any]:
    def pass_attribute(name: str) -> property:
        return property(
            lambda self: getattr(self.__dict__["_inner"], name),
            lambda self, value: setattr(self.__dict__["_inner"], name, value),
        )

    members: dict[str, Any] = {
        name: pass_attribute(name) for name, member in _public_members(interface) if not _is_operation(member)
    }
    members["__getattr__"] = lambda self, name: getattr(self.__dict__["_inner"], name)
    members["__repr__"] = lambda self: f"<wrapped {self.__dict__['_inner']!r}>"
    proxy = type(f"Wrapped{interface.__name__}", (interface,), members)
    # The operations are put into each instance, so nothing is left abstract; ABCs do not see that.
    proxy.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    return proxy


def _public_members(interface: type[Any]) -> list[tuple[str, Any]]:
    return [(name, getattr_static(interface, name)) for name in dir(interface) if not name.startswith("_")]


def _is_operation(member: Any) -> bool:
    return isfunction(member)
