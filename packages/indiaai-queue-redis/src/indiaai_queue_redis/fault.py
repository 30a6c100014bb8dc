"""What the servers or their client say is wrong, as our errors; imported by the link to the servers.

A server's error begins with a code; but Redis 6.2 wraps whatever fails inside a script into a general error, whose text names
it. So the code is looked for anywhere in the text, as a word.
"""

from __future__ import annotations

import re

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError, QueueError, QueueFull
from indiaai_queue_redis.settings import RedisSettings
from indiaai_queue_redis.trouble import Refusal

__all__ = ["full", "translate"]

PASSING = (
    "READONLY",  # a replica, or a primary that stepped down
    "MOVED",  # a node that no longer has the queue
    "ASK",  # one that is handing it over; nothing is run on half of a queue
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MISCONF",
    "NOREPLICAS",
    "UNBLOCKED",
    "ERR max number of clients reached",
    "INDIAAIFORMAT 1 in",  # which the next call knows
)


def full(settings: RedisSettings) -> QueueFull:
    """Return what to raise where the queue has as many tasks as it may."""
    held = f"The queue {settings.queue_name!r} has no room for this: it may hold {settings.max_tasks} tasks"
    return QueueFull(settings.variables(f"{held}. Try again when workers have caught up, or raise REDIS_MAX_TASKS."))


MISFITS = {
    "to the same slot": ("puts the queue's keys into several slots", "one that knows hash tags, as every Redis Cluster does"),
    "No such master": ("names no sentinel that knows that service", "the name under which the sentinels know the primary"),
    "SELECT is not allowed": ("is a cluster, which has no databases", "an address without a database"),
    "DB index is out of range": ("has no such database", "the number of a database that there is"),
}
"""What is wrong with the address, by what the server says to it, and what would be right."""


def translate(error: Exception, settings: RedisSettings) -> IndiaAIError:
    """Return what to raise in the place of a client's or the system's error, with no secret in it."""
    return settings.renamed(_translate(error, settings))


def _translate(error: Exception, settings: RedisSettings) -> IndiaAIError:
    said, where = str(error).rstrip(".") or type(error).__name__, f"Redis at {settings.server}"
    if _has(said, "INDIAAIFULL"):
        return full(settings)
    if _has(said, "OOM"):
        return QueueFull(f"{where} is out of memory and takes no more tasks. Let workers catch up, or raise its maxmemory.")
    unavailable = f"{where} does not serve now: {said}. See that it runs and that REDIS_URL names it."
    if "INDIAAIFORMAT 1 in " in said:
        unavailable = f"The queue {settings.queue_name!r} has just been spread over partitions. Call again."
    if _has(said, *PASSING):
        return BackendUnavailable(unavailable)
    fault = _misfit(said, settings)
    if fault:
        return ConfigurationError(f"The queue {settings.queue_name!r} cannot be used. {fault}.", faults=[fault])
    if isinstance(error, Refusal):
        return QueueError(f"{where} refused a command of the queue {settings.queue_name!r}: {said}")
    return BackendUnavailable(unavailable)


def _misfit(said: str, settings: RedisSettings) -> Fault | None:
    """Return what is wrong with the settings, if that is it."""
    if "INDIAAIFORMAT" in said:
        version = said.partition("INDIAAIFORMAT ")[2].split(" ")[0]
        remedy = "use the version of indiaai-queue-redis that wrote it, or another name"
        return Fault("REDIS_QUEUE_NAME", f"that queue is kept in format {version}", "a queue in format 1", remedy)
    if _has(said, "NOPERM", "ACL failure", "permissions to access"):
        found = f"its user may not do at {settings.server} what the queue needs"
        rights = f"'~{settings.base[:-2]}*' +@read +@write +@scripting +@connection +@blocking +time +info"
        remedy = f"give the user of REDIS_URL these rights: redis-cli acl setuser NAME {rights}"
        return Fault("REDIS_URL", found, "a user with the right to the queue's keys and to scripts", remedy)
    if _has(said, "NOAUTH", "WRONGPASS", "unauthenticated", "without any password configured"):
        found, expected = f"{settings.server} does not let its user in", "a user and a password that the server knows"
        return Fault("REDIS_URL", found, expected, "set REDIS_URL to redis://USER:PASSWORD@HOST:PORT/DATABASE with both")
    if reason := re.search(r"certificate verify failed: (.+?)(?: \(_ssl|$)", said):
        untrusted = f"the certificate of {settings.server} is not to be trusted: {reason[1].rstrip('.')}"
        remedy = "if an authority of your own signed it, say which: rediss://…?ssl_ca_certs=/path/ca.pem"
        return Fault("REDIS_URL", untrusted, "a certificate for that name, signed by a known authority", remedy)
    misfit = next((misfit for word, misfit in MISFITS.items() if word in said), None)
    return Fault("REDIS_URL", f"{settings.server} {misfit[0]}", misfit[1]) if misfit else None


def _has(text: str, *words: str) -> bool:
    """Tell whether one of the words is there as a word: `BUSY` is not in `BUSYGROUP`."""
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)
