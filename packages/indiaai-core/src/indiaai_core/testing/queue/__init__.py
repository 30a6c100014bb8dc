"""The conformance suite of the queue layer."""

from indiaai_core.testing.queue.suite import QueueConformance

__all__ = ["QueueConformance"]
