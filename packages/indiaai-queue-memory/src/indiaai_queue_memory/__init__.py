"""The queue backend `memory`: a whole queue in the memory of one process."""

from indiaai_queue_memory.service import InMemoryQueueService, MemoryQueueService
from indiaai_queue_memory.settings import MemorySettings

__all__ = ["InMemoryQueueService", "MemoryQueueService", "MemorySettings"]
