"""The declaration of the layer; loaded through the entry point `indiaai.layers: notify`."""

from __future__ import annotations

from indiaai_core import Layer
from indiaai_notify.service import NotifyService

__all__ = ["LAYER"]

LAYER = Layer(
    name="notify",
    interface=NotifyService,
    default_backend="console",
    contract_version=1,
    conformance="indiaai_notify.testing:NotifyConformance",
)
