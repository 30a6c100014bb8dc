"""The declaration of the storage layer; loaded through the entry point `indiaai.layers: storage`."""

from __future__ import annotations

from indiaai_core.layers import Layer
from indiaai_core.storage.service import StorageService

__all__ = ["LAYER"]

LAYER = Layer(name="storage", interface=StorageService, default_backend="local", contract_version=1)
