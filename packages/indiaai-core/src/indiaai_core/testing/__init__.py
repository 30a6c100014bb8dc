"""The conformance kit, for the tests of backends; nothing in the product imports it. Needs `indiaai-core[testing]`."""

from indiaai_core.testing.promises import Conformance, Promise, list_promises, promise
from indiaai_core.testing.queue import QueueConformance
from indiaai_core.testing.storage import Answer, Fetch, StorageConformance

__all__ = ["Answer", "Conformance", "Fetch", "Promise", "QueueConformance", "StorageConformance", "list_promises", "promise"]
