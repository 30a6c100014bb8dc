"""The conformance suite of the storage layer."""

from indiaai_core.testing.storage.conformance import StorageConformance
from indiaai_core.testing.storage.fetching import Answer, Fetch

__all__ = ["Answer", "Fetch", "StorageConformance"]
