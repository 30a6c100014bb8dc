"""The wrapper `trunk_count`: counts the operations of any service, of any layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from indiaai_core import Layer
from indiaai_core.wrappers import Kind, Operation, delegate

__all__ = ["COUNTED", "trunk_count"]

COUNTED: Counter[str] = Counter()
"""How often each operation was called, by its layer and name."""


def trunk_count(service: Any, *, layer: Layer, environment: Mapping[str, str]) -> Any:
    """Stand in front of a service; `COUNT_SKIP` names an operation that is not counted."""

    def around(operation: Operation) -> Callable[..., Any]:
        if operation.name == environment.get("COUNT_SKIP"):
            return operation.call

        def counted(*args: Any, **kwargs: Any) -> Any:
            COUNTED[f"{layer.name}.{operation.name}"] += 1
            return operation.call(*args, **kwargs)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await counted(*args, **kwargs)

        return awaited if operation.kind is Kind.CALL else counted

    return delegate(service, interface=layer.interface, around=around)
