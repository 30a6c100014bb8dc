"""The suite of the layer, for the tests of its backends; nothing in the package imports it. Needs `indiaai-notify[testing]`."""

from indiaai_notify.testing.conformance import Delivered, NotifyConformance

__all__ = ["Delivered", "NotifyConformance"]
