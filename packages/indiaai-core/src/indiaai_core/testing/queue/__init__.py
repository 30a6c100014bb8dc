"""The conformance suite of the queue layer, and the model of a queue for stateful tests."""

from indiaai_core.testing.queue.model import ModelledQueue, QueueModel
from indiaai_core.testing.queue.suite import QueueConformance

__all__ = ["ModelledQueue", "QueueConformance", "QueueModel"]
