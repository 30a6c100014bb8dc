"""What the server or its client says is wrong, as our errors; imported by the link to the server.

The client turns an error's code into a class and drops it from the text, but only where the code comes first: Redis 6.2
wraps whatever fails inside a script into a general error, whose text names the code. So both are looked at.
"""

from __future__ import annotations

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError, QueueError, QueueFull
from indiaai_queue_redis.settings import RedisSettings

__all__ = ["translate"]

PASSING = ("READONLY", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "UNBLOCKED")


def translate(error: Exception, settings: RedisSettings) -> IndiaAIError:
    """Return what to raise in the place of a client's or the system's error, with no secret in it."""
    from redis import exceptions as redis

    said, where = str(error).rstrip(".") or type(error).__name__, f"Redis at {settings.server}"
    if "INDIAAIFULL" in said:
        held = f"The queue {settings.queue_name!r} has no room for this: it may hold {settings.max_tasks} tasks"
        return QueueFull(f"{held}. Try again when workers have caught up, or raise REDIS_MAX_TASKS.")
    if isinstance(error, redis.OutOfMemoryError) or "OOM command" in said:
        return QueueFull(f"{where} is out of memory and takes no more tasks. Let workers catch up, or raise its maxmemory.")
    fault = _misfit(error, said, settings)
    if fault:
        return ConfigurationError(f"The queue {settings.queue_name!r} cannot be used. {fault}.", faults=[fault])
    passing = (redis.ReadOnlyError, redis.ClusterDownError, redis.TryAgainError)
    if isinstance(error, redis.ResponseError) and not isinstance(error, passing) and not _has(said, *PASSING):
        return QueueError(f"{where} refused a command of the queue {settings.queue_name!r}: {said}")
    return BackendUnavailable(f"{where} does not serve now: {said}. See that it runs and that REDIS_URL names it.")


def _misfit(error: Exception, said: str, settings: RedisSettings) -> Fault | None:
    """Return what is wrong with the settings, if that is it."""
    from redis import exceptions as redis

    if isinstance(error, redis.NoPermissionError) or _has(said, "NOPERM", "ACL failure", "permissions to access"):
        found = f"its user may not do at {settings.server} what the queue needs"
        return Fault("REDIS_URL", found, f"a user with the right to the keys {settings.base}* and to scripts")
    if isinstance(error, redis.AuthenticationError | redis.AuthorizationError) or _has(
        said, "NOAUTH", "WRONGPASS", "unauthenticated"
    ):
        return Fault("REDIS_URL", f"{settings.server} does not let its user in", "a user and a password that the server knows")
    if isinstance(error, redis.AskError | redis.ClusterCrossSlotError) or _has(said, "MOVED ", "CROSSSLOT"):
        return Fault(
            "REDIS_URL", f"{settings.server} is a node of a cluster", "a single server, which is what is served so far"
        )
    if "INDIAAIFORMAT" in said:
        version = said.partition("INDIAAIFORMAT ")[2].split(" ")[0]
        remedy = "use the version of indiaai-queue-redis that wrote it, or another name"
        return Fault("REDIS_QUEUE_NAME", f"that queue is kept in format {version}", "a queue in format 1", remedy)
    return None


def _has(text: str, *words: str) -> bool:
    return any(word in text for word in words)
