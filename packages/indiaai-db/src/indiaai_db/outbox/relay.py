"""Takes messages from the outbox's table to the queue; imported by the outbox.

A message leaves the table in a transaction of its own, after the queue acknowledged its task: a death in between hands it
over again, and never loses it. Nobody holds a transaction open while the queue is asked, for SQLite has one writer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core.errors import BackendUnavailable, InvalidTask, Unsupported
from indiaai_core.queue import NewTask, QueueService
from indiaai_db.outbox.message import OutboxLease, OutboxMessage, database_seconds
from indiaai_db.service import DatabaseService

__all__ = ["LEASE_SECONDS", "Relay"]

BATCH = 200
"""The most messages that are handed over at once: 50 MiB, were each as large as it may be."""

LEASE_SECONDS = 30.0
"""How long a relay that says nothing is taken for alive."""

LONGEST_PAUSE_SECONDS = 5.0

logger = logging.getLogger("indiaai.outbox")


class Relay:
    """One relay between one database and one queue, in one event loop."""

    def __init__(self, database: DatabaseService, queue: QueueService) -> None:
        """Hold the two ends; nothing is asked yet."""
        self._database = database
        self._queue = queue
        self._holder = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._failed_since: float | None = None

    def wake(self) -> None:
        """Have it look at once; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, poll_seconds: float) -> None:
        """Relay until cancelled."""
        failures = 0
        while True:
            self._woken.clear()
            try:
                await self.empty()
            except Exception as error:  # noqa: BLE001 - a relay outlives whatever either end does
                failures += 1
                self._note_failure(error)
                await anyio.sleep(min(0.1 * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS))
                continue
            failures = 0
            self._note_success()
            with anyio.move_on_after(poll_seconds):
                await self._woken.wait()

    async def empty(self) -> int:
        """Hand over what is committed, batch by batch, and return how many tasks the queue took."""
        count = 0
        while await self._has_messages():
            messages = await self._take()
            if not messages:  # another relay is at work
                break
            refused = await self._hand_over(messages)
            await self._note_done(messages, refused)
            count += len(messages) - len(refused)
        return count

    async def _has_messages(self) -> bool:
        # A look costs a read: an idle relay writes nothing, so any number of them may be idle.
        async with self._database.session(read_only=True) as session:
            return await session.scalar(select(OutboxMessage.id).where(OutboxMessage.error.is_(None)).limit(1)) is not None

    async def _take(self) -> Sequence[OutboxMessage]:
        """Return the messages that come first, or none while another relay is at work."""
        try:
            return await self._database.run(self._take_under_lease)
        except IntegrityError:  # the lease's row was made by another relay meanwhile
            return []

    async def _take_under_lease(self, session: AsyncSession) -> Sequence[OutboxMessage]:
        free = or_(OutboxLease.holder == self._holder, OutboxLease.expires_at < database_seconds())
        held = {"holder": self._holder, "expires_at": database_seconds() + LEASE_SECONDS}
        taking = update(OutboxLease).where(OutboxLease.id == 1, free).values(held).returning(OutboxLease.id)
        if (await session.execute(taking)).first() is None:
            if await session.get(OutboxLease, 1) is not None:
                return []
            await session.execute(insert(OutboxLease).values(id=1, **held))
        waiting = select(OutboxMessage).where(OutboxMessage.error.is_(None)).order_by(OutboxMessage.id).limit(BATCH)
        return (await session.scalars(waiting)).all()

    async def _hand_over(self, messages: Sequence[OutboxMessage]) -> dict[int, str]:
        """Enqueue messages, and return why the queue will never take some of them, by id."""
        try:
            await self._queue.enqueue_many([self._task_of(message) for message in messages])
        except (InvalidTask, Unsupported) as error:
            if len(messages) == 1:
                return {messages[0].id: str(error)}
        else:
            return {}
        refused: dict[int, str] = {}
        for message in messages:  # one of them is wrong: it must not keep the others
            refused |= await self._hand_over([message])
        return refused

    def _task_of(self, message: OutboxMessage) -> NewTask:
        delay = (message.due_at - datetime.now(UTC)).total_seconds() if message.due_at else 0.0
        return NewTask(
            message.name,
            json.loads(message.data),
            max(delay, 0.0),
            message.priority,
            message.max_attempts,
            message.dedupe_key or (f"outbox-{message.token}" if "dedupe" in self._queue.capabilities else None),
        )

    async def _note_done(self, messages: Sequence[OutboxMessage], refused: dict[int, str]) -> None:
        done = [message.id for message in messages if message.id not in refused]

        async def note(session: AsyncSession) -> None:
            await session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(done)))
            for identifier, error in refused.items():
                await session.execute(update(OutboxMessage).where(OutboxMessage.id == identifier).values(error=error))
            await session.execute(update(OutboxLease).where(OutboxLease.holder == self._holder).values(expires_at=0.0))

        await self._database.run(note)
        for identifier, error in refused.items():
            logger.error("The queue will never take the message %d of the outbox, which is kept there: %s", identifier, error)

    def _note_failure(self, error: Exception) -> None:
        if self._failed_since is not None:
            return
        self._failed_since = time.monotonic()
        if isinstance(error, BackendUnavailable):
            logger.warning("The outbox cannot be relayed now, and is tried again until it can: %s", error)
        else:
            logger.error("Relaying the outbox failed, and is tried again", exc_info=error)

    def _note_success(self) -> None:
        if self._failed_since is not None:
            logger.warning("The outbox is relayed again, after %.1f s", time.monotonic() - self._failed_since)
            self._failed_since = None
