"""The conformance kit, for the tests of backends; nothing in the product imports it. Needs `indiaai-core[testing]`."""

from indiaai_core.testing.promises import Conformance, Promise, list_promises, promise

__all__ = ["Conformance", "Promise", "list_promises", "promise"]
