"""Wrappers: services that stand in front of others with the same interface, and cost nothing where nobody asks for one."""

from indiaai_core.wrappers.delegation import Around, Kind, Operation, closing, delegate
from indiaai_core.wrappers.observation import Observer, observe

__all__ = ["Around", "Kind", "Observer", "Operation", "closing", "delegate", "observe"]
