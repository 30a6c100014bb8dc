"""The declaration of the storage layer; loaded through the entry point `indiaai.layers: storage`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from indiaai_core.layers import Layer
from indiaai_core.storage.service import StorageService

__all__ = ["LAYER"]


def _is_repeatable(operation: str, arguments: Mapping[str, Any]) -> bool:
    # A stream or a file has been read by then, and `if_absent` would meet what the first call may have stored.
    if operation != "upload":
        return True
    return isinstance(arguments["file_data"], bytes | bytearray | memoryview) and not arguments["if_absent"]


LAYER = Layer(
    name="storage",
    interface=StorageService,
    default_backend="local",
    contract_version=1,
    conformance="indiaai_core.testing:StorageConformance",
    is_repeatable=_is_repeatable,
)
