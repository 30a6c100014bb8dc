"""A relay as a process of its own; imported by `indiaai db relay`."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress

from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.queue import get_queue_service
from indiaai_db.factory import get_database_service
from indiaai_db.outbox.outbox import Outbox

__all__ = ["serve"]

logger = logging.getLogger("indiaai.outbox")


async def serve(database: str | None, queue: str | None) -> None:
    """Relay between two services, named or the main ones, until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: The configuration is wrong, or the queue lives in one process, which would be this one.
        BackendUnavailable: One of the two cannot serve.
    """
    source, target = get_database_service(database), get_queue_service(queue)
    if "in_process" in target.capabilities:
        kind, remedy = type(target).__name__, "relay in the application's lifespan: async with outbox.relaying()"
        variable = Environment.read().for_instance(queue).named("QUEUE_TYPE")
        fault = Fault(variable, f"{kind} lives in one process", "a queue that processes share", remedy)
        raise ConfigurationError(f"Nobody would see what is relayed here. {fault}.", faults=[fault])
    async with source, target:
        await source.check()
        await target.check()
        relaying = asyncio.ensure_future(Outbox(database=database, queue=queue).run(database=source, queue=target))
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows: there Ctrl-C raises KeyboardInterrupt
                asyncio.get_running_loop().add_signal_handler(number, relaying.cancel)
        logger.info("Relaying from %s to %s", type(source).__name__, type(target).__name__)
        with suppress(asyncio.CancelledError):
            await relaying
