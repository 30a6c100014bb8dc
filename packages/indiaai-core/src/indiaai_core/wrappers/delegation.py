"""Stands one service in front of another with the same interface; imported by the wrappers beside it and by plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from inspect import Signature, getattr_static, isasyncgenfunction, iscoroutinefunction, isfunction, signature, unwrap
from typing import Any

__all__ = ["Around", "Kind", "Operation", "closing", "delegate"]


class Kind(Enum):
    """What a call of an operation gives."""

    CALL = "call"
    """A coroutine: `await service.upload(…)`."""
    STREAM = "stream"
    """An asynchronous iterator: `async for chunk in service.stream(…)`."""
    BLOCK = "block"
    """An asynchronous context manager: `async with service.session()`."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service, before something stands around it.

    Attributes:
        name: Its name in the interface.
        kind: What a call gives.
        call: The service's own bound method.
        signature: Its parameters as the interface names them, without `self`.
    """

    name: str
    kind: Kind
    call: Callable[..., Any]
    signature: Signature


Around = Callable[[Operation], Callable[..., Any]]
"""Takes an operation, and returns what is called in its place: something of the same kind."""

_LIFECYCLE = frozenset({"check", "probe", "caveats", "aclose"})
_ITERATORS = ("AsyncIterator", "AsyncIterable", "AsyncGenerator")
_CONTEXTS = ("AbstractAsyncContextManager", "AsyncContextManager")


def delegate(service: Any, *, interface: type[Any], around: Around, attributes: Mapping[str, Any] | None = None) -> Any:
    """Return a service that is an instance of the interface and hands every call to another one.

    Attributes, and the lifecycle (`check`, `probe`, `caveats`, `aclose`), go through as they are; each asynchronous
    operation of the interface goes through what `around` makes of it, once, here: a call then costs what `around` adds and
    no look-up. What the service has beyond the interface stays reachable.

    Args:
        service: The service that does the work.
        interface: The layer's interface.
        around: Makes the replacement of an operation.
        attributes: Attributes of the interface that are to be others than the service's own.
    """
    proxy = object.__new__(_proxy_class(interface))  # type: ignore[arg-type] # mypy takes a class for unhashable
    proxy.__dict__.update(attributes or {}, _inner=service)
    for name, kind, parameters in _operations(interface):  # type: ignore[arg-type] # likewise
        method = getattr(service, name)
        proxy.__dict__[name] = method if kind is None else around(Operation(name, kind, method, parameters))
    return proxy


@asynccontextmanager
async def closing(stream: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """Close a stream at the end of the block, where it can be closed: an interface asks its backends for iterators only."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


@cache
def _operations(interface: Any) -> tuple[tuple[str, Kind | None, Signature], ...]:
    return tuple(
        (name, None if name in _LIFECYCLE else _kind_of(member), _without_self(member))
        for name, member in _public_members(interface)
        if isfunction(member)
    )


def _kind_of(function: Callable[..., Any]) -> Kind | None:
    # What the interface declares counts, and not how a backend writes it: a plain method may return an iterator.
    if iscoroutinefunction(function):
        return Kind.CALL
    if isasyncgenfunction(unwrap(function)) and not isasyncgenfunction(function):  # by `asynccontextmanager`
        return Kind.BLOCK
    returned = str(signature(function).return_annotation).removeprefix("collections.abc.").removeprefix("contextlib.")
    if isasyncgenfunction(function) or returned.startswith(_ITERATORS):
        return Kind.STREAM
    return Kind.BLOCK if returned.startswith(_CONTEXTS) else None


def _without_self(function: Callable[..., Any]) -> Signature:
    own = signature(function)
    return own.replace(parameters=list(own.parameters.values())[1:])


@cache
def _proxy_class(interface: Any) -> type[Any]:
    def pass_attribute(name: str) -> property:
        return property(
            lambda self: self.__dict__[name] if name in self.__dict__ else getattr(self.__dict__["_inner"], name),
            lambda self, value: setattr(self.__dict__["_inner"], name, value),
        )

    members: dict[str, Any] = {
        name: pass_attribute(name) for name, member in _public_members(interface) if not isfunction(member)
    }
    members["__getattr__"] = lambda self, name: getattr(self.__dict__["_inner"], name)
    members["__repr__"] = lambda self: f"<wrapped {self.__dict__['_inner']!r}>"
    proxy = type(f"Wrapped{interface.__name__}", (interface,), members)
    # The operations are put into each instance, so nothing is left abstract; ABCs do not see that.
    proxy.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    return proxy


def _public_members(interface: type[Any]) -> list[tuple[str, Any]]:
    return [(name, getattr_static(interface, name)) for name in dir(interface) if not name.startswith("_")]
