"""The declaration of the queue layer; loaded through the entry point `indiaai.layers: queue`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from indiaai_core.layers import Layer
from indiaai_core.queue.service import QueueService

__all__ = ["LAYER"]

_LOOKING = frozenset({"get_status", "counts", "dead_letters"})
_LEASING = frozenset({"dequeue", "dequeue_many"})


def _is_repeatable(operation: str, arguments: Mapping[str, Any]) -> bool:
    # A lease that nobody heard of runs out by itself; a task that was enqueued twice is worked twice, unless a key tells.
    if operation == "enqueue":
        return arguments["dedupe_key"] is not None
    return operation in _LOOKING or operation in _LEASING


LAYER = Layer(
    name="queue",
    interface=QueueService,
    default_backend="memory",
    contract_version=1,
    conformance="indiaai_core.testing:QueueConformance",
    is_repeatable=_is_repeatable,
)
