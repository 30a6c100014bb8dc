"""The declaration of the queue layer; loaded through the entry point `indiaai.layers: queue`."""

from __future__ import annotations

from indiaai_core.layers import Layer
from indiaai_core.queue.service import QueueService

__all__ = ["LAYER"]

LAYER = Layer(name="queue", interface=QueueService, default_backend="memory", contract_version=1)
