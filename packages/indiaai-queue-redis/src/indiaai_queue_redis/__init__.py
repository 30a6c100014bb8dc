"""The queue backend `redis`: tasks in Redis, shared by any number of processes and machines."""

from __future__ import annotations

from indiaai_queue_redis.service import RedisQueueService
from indiaai_queue_redis.settings import RedisSettings

__all__ = ["RedisQueueService", "RedisSettings"]
