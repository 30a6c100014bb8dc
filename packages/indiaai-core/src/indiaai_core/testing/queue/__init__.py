"""The conformance suite of the queue layer, its clock, and the model of a queue for stateful tests."""

from indiaai_core.testing.queue.clock import Clock, SkippingClock
from indiaai_core.testing.queue.model import QueueModel
from indiaai_core.testing.queue.modelled import ModelledQueue
from indiaai_core.testing.queue.suite import QueueConformance

__all__ = ["Clock", "ModelledQueue", "QueueConformance", "QueueModel", "SkippingClock"]
