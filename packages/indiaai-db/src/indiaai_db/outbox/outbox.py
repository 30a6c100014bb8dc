"""The outbox as an application uses it; imported by applications and by `indiaai db relay`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self
from weakref import WeakSet

from sqlalchemy import event, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.queue import NewTask, QueueService, get_queue_service
from indiaai_db.factory import get_database_service
from indiaai_db.outbox.message import OutboxMessage
from indiaai_db.outbox.relay import Relay
from indiaai_db.service import DatabaseService

__all__ = ["Outbox"]


class Outbox:
    """Tasks that belong to a transaction: the queue gets them if and only if it commits.

    A call of the queue inside `session()` can be right twice and wrong once: the task is enqueued and the transaction
    then fails, or the process dies between the two. So the task is written into the same transaction as a row, and a
    relay takes the rows to the queue. Any number of relays may run; one is at work, the others wait for its end.

    Tasks reach the queue at least once: those of one transaction in the order in which they were written, and those of
    transactions that follow each other, for they change or lock one row before they call `enqueue`, in the order of these.
    Of two that overlap neither is first, and neither is passed over. A relay that died between handing over and noting it
    hands over again; while such a task is not finished, the queue's own dedupe key sees to it that it is not there twice.

    Importing this module adds two tables to `Base.metadata`: import it where the models are, so that `indiaai db revision`
    writes the migration that makes them.

    Attributes:
        database: The named database instance; None for the main one.
        queue: The named queue instance that gets the tasks; None for the main one.
        poll_seconds: How often a relay looks for rows that other processes wrote; it hears of its own process's at once.
    """

    def __init__(self, *, database: str | None = None, queue: str | None = None, poll_seconds: float = 1.0) -> None:
        """Hold what the services are found by; nothing is touched yet.

        Raises:
            ValueError: `poll_seconds` is not above 0.
        """
        if not 0 < poll_seconds < float("inf"):
            raise ValueError(f"poll_seconds={poll_seconds!r}: expected seconds above 0.")
        self.database = database
        self.queue = queue
        self.poll_seconds = poll_seconds
        self._relays: WeakSet[Relay] = WeakSet()

    async def enqueue(
        self,
        session: AsyncSession,
        task_name: str,
        task_data: Mapping[str, Any] | None = None,
        *,
        delay: float = 0,
        priority: int = 0,
        max_attempts: int | None = None,
        dedupe_key: str | None = None,
    ) -> None:
        """Write a task into a session's transaction; the arguments are those of `QueueService.enqueue`.

        It has no id before the queue has it: whoever wants to follow the work keeps a row of their own.

        Args:
            session: The session of the transaction that the task belongs to.
            task_name: What its handler is registered under.
            task_data: A JSON object, at most 256 KiB as JSON.
            delay: Seconds before it may be delivered, counted from now.
            priority: As for the queue.
            max_attempts: As for the queue.
            dedupe_key: As for the queue, which looks at it when the relay hands the task over.

        Raises:
            InvalidTask: An argument is out of its limits; the transaction is untouched.
            ConfigurationError: The outbox's tables are not there.
            ReadOnlySession: The session is read-only.
        """
        data = {} if task_data is None else task_data
        row = OutboxMessage.row_of(NewTask(task_name, data, delay, priority, max_attempts, dedupe_key))
        try:
            await session.execute(insert(OutboxMessage).values(row))
        except DBAPIError as error:
            if not _lacks_table(error):
                raise
            raise _no_table() from error
        event.listen(session.sync_session, "after_commit", self._wake, once=True)

    async def relay_once(self, *, database: DatabaseService | None = None, queue: QueueService | None = None) -> int:
        """Hand over what is committed by now, and return how many tasks that was. For tests and scheduled jobs.

        Raises:
            BackendUnavailable: The database or the queue does not answer; what is left is still there.
            QueueFull: The queue has no room; what is left is still there.
        """
        return await self._relay(database, queue).empty()

    async def run(self, *, database: DatabaseService | None = None, queue: QueueService | None = None) -> None:
        """Relay until cancelled, through outages of both sides."""
        relay = self._relay(database, queue)
        self._relays.add(relay)
        try:
            await relay.run(self.poll_seconds)
        finally:
            self._relays.discard(relay)

    @asynccontextmanager
    async def relaying(
        self, *, database: DatabaseService | None = None, queue: QueueService | None = None
    ) -> AsyncIterator[Self]:
        """Relay in the background of a block: what an application's lifespan enters."""
        running = asyncio.get_running_loop().create_task(self.run(database=database, queue=queue), name="indiaai-outbox")
        try:
            yield self
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def _relay(self, database: DatabaseService | None, queue: QueueService | None) -> Relay:
        return Relay(database or get_database_service(self.database), queue or get_queue_service(self.queue))

    def _wake(self, _: object) -> None:
        for relay in list(self._relays):
            relay.wake()


def _lacks_table(error: DBAPIError) -> bool:
    return OutboxMessage.__tablename__ in str(error.orig) and any(
        said in str(error.orig) for said in ("no such table", "does not exist")
    )


_no_table = partial(
    ConfigurationError,
    f"The outbox's table {OutboxMessage.__tablename__} is not in the database. Import indiaai_db.outbox where your models are, "
    "write the migration with `indiaai db revision -m outbox`, and run `indiaai db upgrade`.",
    faults=[Fault(OutboxMessage.__tablename__, "not there", "the outbox's tables", "indiaai db revision -m outbox")],
)
