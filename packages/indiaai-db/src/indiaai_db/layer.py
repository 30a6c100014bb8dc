"""The declaration of the database layer; loaded through the entry point `indiaai.layers: database`."""

from __future__ import annotations

from indiaai_core.layers import Layer
from indiaai_db.service import DatabaseService

__all__ = ["LAYER"]

LAYER = Layer(
    name="database",
    interface=DatabaseService,
    default_backend="sqlite",
    contract_version=1,
    conformance="indiaai_db.testing:DatabaseConformance",
)
