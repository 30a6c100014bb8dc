"""Which replicas may be read from: those that answer and are not too far behind; imported by the service.

Each server is asked for its place in the log, over a connection of its own, as long as somebody reads. A replica that has
come to where the primary was at a moment holds all that was committed before that moment: no clock is compared, an idle
primary makes nobody look late, and a replica that has lost its primary unnoticed is found out.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from indiaai_core.errors import BackendUnavailable, ConfigurationError, IndiaAIError
from indiaai_db.postgresql.connection import PostgresqlConnection, close_for_good
from indiaai_db.postgresql.opener import Opener

__all__ = ["Replica", "Replicas", "Server"]

logger = logging.getLogger("indiaai.database")

IDLE_SECONDS = 60.0
"""For how long after the last read the servers are still asked: a database that sleeps when nobody comes must be left alone."""

LONGEST_PAUSE_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.05

_POSITION = """
    SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint
"""

_NO_SUCH_FUNCTION = ("42", "0A")
"""Classes of SQLSTATE by which a database says that it has no log to ask for: then it counts that it answers."""


class Server:
    """A server that is asked for its place in the log."""

    def __init__(self, opener: Opener) -> None:
        """Hold the way to it."""
        self._opener = opener
        self._connection: PostgresqlConnection | None = None

    async def ask(self, timeout_seconds: float) -> float:
        """Return its place in the log; infinity where it keeps none that can be asked for.

        Raises:
            BackendUnavailable: It does not answer in time.
            ConfigurationError: It refuses these settings.
        """
        try:
            with anyio.fail_after(timeout_seconds):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._opener()
                async with self._connection.transaction(readonly=True):  # or a pooler may change servers halfway
                    return await self._connection.fetchval(_POSITION) or 0
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if (getattr(error, "sqlstate", None) or "").startswith(_NO_SUCH_FUNCTION):
                return math.inf
            if self._connection is not None:
                self._connection.terminate()
            raise BackendUnavailable(f"{type(error).__name__}: {error}") from error

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await close_for_good(self._connection)
            self._connection = None


class Replica(Server):
    """A replica, as far as is known now.

    Attributes:
        opener: The way to it.
        engine: The engine for sessions on it, whose connections `connect` opens.
        position: Its place in the log; None when it did not answer.
        answered_at: When it was asked for that, on the monotonic clock.
        is_fresh_as_of: The latest moment, on the same clock, before which all that was committed is there.
        is_chosen: Whether it was read from when its place was last heard.
        refusal: Why it has never let anybody in.
    """

    engine: AsyncEngine

    def __init__(self, opener: Opener, primary: Opener) -> None:
        """Hold the way to it, and to what serves in its place when it suddenly does not answer."""
        super().__init__(opener)
        self.opener = opener
        self._primary = primary
        self._has_answered = False
        self.is_chosen = True
        self.refusal: ConfigurationError | None = None
        self.forget()

    def forget(self) -> None:
        """Know nothing of where it is."""
        self.position: float | None = None
        self.answered_at = self.is_fresh_as_of = -math.inf

    async def connect(self, *_: Any, **__: Any) -> PostgresqlConnection:
        """Open a connection for a session, to the primary if the replica does not answer; what SQLAlchemy calls.

        Raises:
            BackendUnavailable: Neither answers.
        """
        if self.position is not None:
            try:
                return await self.opener()
            except IndiaAIError as error:
                self.fail(error)
        connection = await self._primary()
        connection.is_stand_in = True  # the pool gives it up when the replica is chosen again
        return connection

    def fail(self, error: IndiaAIError) -> None:
        """Note that it did not answer."""
        self.forget()
        self.refusal = error if isinstance(error, ConfigurationError) and not self._has_answered else None
        self.tell(is_chosen=False, reason=str(error))

    def answer(self, asked_at: float, position: float) -> None:
        """Note where it is."""
        self.answered_at, self.position = asked_at, position
        self._has_answered, self.refusal = True, None

    def tell(self, *, is_chosen: bool, reason: str) -> None:
        """Log it when a replica is left out, and when it is read from again."""
        if is_chosen and not self.is_chosen:
            logger.info("The replica at %s is read from again.", self.opener.url.shown)
        elif self.is_chosen and not is_chosen:
            logger.warning("The replica at %s is left out: %s", self.opener.url.shown, reason)
        self.is_chosen = is_chosen


class Replicas:
    """The replicas of one event loop's engines, in turn."""

    def __init__(self, primary: Opener, replicas: list[Replica], *, max_lag_seconds: float, timeout_seconds: float) -> None:
        """Hold the servers; nobody is asked yet.

        Args:
            primary: The way to the primary.
            replicas: The replicas.
            max_lag_seconds: How far behind the primary one may be that is read from; 0 for any distance.
            timeout_seconds: How long to wait for an answer.
        """
        self._primary = Server(primary)
        self._replicas = replicas
        self._max_lag = max_lag_seconds or math.inf
        # The primary's silence must be noticed before the last answer has grown too old to show anybody fresh.
        self._timeout = min(timeout_seconds, self._max_lag / 2)
        self._pause = min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, self._max_lag / 8))
        self._moments: deque[tuple[float, float]] = deque(maxlen=64)
        self._is_primary_silent = False
        self._unheard: set[Server] = set()
        self._known = asyncio.Event()
        self._last_read = 0.0
        self._turn = 0
        self._watching: asyncio.Task[None] | None = None
        self._is_over = False

    async def choose(self) -> AsyncEngine | None:
        """Return the engine of a replica that may be read from, each in its turn; None if there is none.

        The first one to ask waits until enough is known.
        """
        self._last_read = time.monotonic()
        if self._watching is None or self._watching.done() or self._is_over:
            self._is_over, self._known = False, asyncio.Event()
            self._watching = asyncio.create_task(self._watch(self._watching, self._known))
        if not self._known.is_set():
            await self._known.wait()
        fit = [replica for replica in self._replicas if self._is_fit(replica)]
        if not fit:
            return None
        self._turn += 1
        return fit[self._turn % len(fit)].engine

    async def check(self) -> None:
        """Hear from the replicas.

        Raises:
            ConfigurationError: One of them has never let anybody in, and refuses these settings.
        """
        await self.choose()
        for replica in self._replicas:
            if replica.refusal is not None:
                raise replica.refusal

    async def aclose(self) -> None:
        """End the watch and close all connections."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        for replica in self._replicas:
            if replica.engine is not None:
                await replica.engine.dispose()
            await replica.opener.drain()

    def _is_fit(self, replica: Replica) -> bool:
        return replica.position is not None and time.monotonic() - replica.is_fresh_as_of <= self._max_lag

    async def _watch(self, previous: asyncio.Task[None] | None, known: asyncio.Event) -> None:
        try:
            if previous is not None:
                await asyncio.wait([previous])
            self._forget_all()
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_asking, self._primary, self._hear_primary)
                for replica in self._replicas:
                    group.start_soon(self._keep_asking, replica, partial(self._hear_replica, replica))
                while (idle := time.monotonic() - self._last_read) < IDLE_SECONDS:  # noqa: ASYNC110 - for a time, not an event
                    await anyio.sleep(IDLE_SECONDS - idle)
                # All of them at once: were one to go on for somebody who reads now, it would do so without the others.
                self._is_over = True
                group.cancel_scope.cancel()
        finally:
            known.set()  # nobody must wait for what has ended
            with anyio.CancelScope(shield=True):
                if previous is not None:
                    await asyncio.wait([previous])
                for server in (self._primary, *self._replicas):
                    await server.aclose()

    def _forget_all(self) -> None:
        # What was heard before a pause says nothing of now.
        self._moments.clear()
        self._unheard = {self._primary, *self._replicas}
        for replica in self._replicas:
            replica.forget()

    async def _keep_asking(self, server: Server, hear: Callable[[float, float | IndiaAIError], None]) -> None:
        while True:
            asked_at = time.monotonic()
            answer: float | IndiaAIError
            try:
                answer = await server.ask(self._timeout)
            except IndiaAIError as error:
                answer = error
            hear(asked_at, answer)
            self._judge(server)
            await anyio.sleep(self._pause)

    def _hear_primary(self, asked_at: float, answer: float | IndiaAIError) -> None:
        self._is_primary_silent = isinstance(answer, IndiaAIError) or answer == math.inf
        if isinstance(answer, IndiaAIError) or self._is_primary_silent:
            return
        if self._moments and answer < self._moments[-1][1]:
            self._moments.clear()  # another one was promoted, which had not come as far as the one before it
        self._moments.append((asked_at, answer))

    def _hear_replica(self, replica: Replica, asked_at: float, answer: float | IndiaAIError) -> None:
        if isinstance(answer, IndiaAIError):
            replica.fail(answer)
        else:
            replica.answer(asked_at, answer)

    def _judge(self, heard: Server) -> None:
        for replica in self._replicas:
            if replica.position is None:
                continue
            moments = [at for at, position in self._moments if position <= replica.position]
            if self._is_primary_silent and moments[-1:] == [at for at, _ in self._moments][-1:]:
                moments.append(replica.answered_at)  # it has all that anybody knows of
            replica.is_fresh_as_of = max([replica.is_fresh_as_of, *moments[-1:]])
            # In the beginning nobody has been watched for long enough to be called late.
            is_judged = self._is_fit(replica) or (self._moments and time.monotonic() - self._moments[0][0] > self._max_lag)
            if heard is replica and is_judged:
                replica.tell(is_chosen=self._is_fit(replica), reason=f"it is more than {self._max_lag:g} s behind.")
        self._unheard.discard(heard)
        if not self._unheard or (self._primary not in self._unheard and any(map(self._is_fit, self._replicas))):
            self._known.set()
