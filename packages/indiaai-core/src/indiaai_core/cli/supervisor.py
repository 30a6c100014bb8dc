"""Keeps the processes of a worker running, until it is told to stop; imported by the worker command."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import anyio

from indiaai_core.cli.work import CANNOT_START
from indiaai_core.worker.signals import stopping_at_signals

__all__ = ["Supervisor"]

logger = logging.getLogger("indiaai.worker")

FIRST_WAIT_SECONDS = 0.5
"""How long to wait before a process that died is started again; doubled each time that it dies soon after."""

LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""How long a process must have run for its death to count as the first one."""


class Supervisor:
    """Runs a number of like processes in one event loop, once.

    It reaches them by a pipe each: what it writes there is a signal, and where it dies, by whatever death, the pipe ends and
    they stop. They have process groups of their own, so that Ctrl-C in a terminal reaches this process and no other, and
    each hears of it once.
    """

    def __init__(
        self,
        count: int,
        command: Callable[[bool, bool], Sequence[str]],
        *,
        changes: Callable[[], AsyncIterator[str]] | None = None,
    ) -> None:
        """Hold what is run; nothing is started yet.

        Args:
            count: How many processes.
            command: Gives the command of one; is told whether that is to print what it runs, and why it cannot.
            changes: Gives each change of the files, after which all are started anew; None where they are not watched.
        """
        self._count = count
        self._command = command
        self._changes = changes
        self._children: set[_Child] = set()
        self._generation = 0
        self._stop_level = 0
        self._statuses: list[int] = []
        self._news = anyio.Event()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT: the first stops the processes gracefully, a second at once.

        Returns:
            The worst exit status of a process: 128 and more for one that a signal killed, as shells count.
        """
        with stopping_at_signals(self._stop, self._stop):
            async with anyio.create_task_group() as group:
                if self._changes is not None:
                    group.start_soon(self._watch, self._changes)
                async with anyio.create_task_group() as keepers:
                    for number in range(self._count):
                        keepers.start_soon(self._keep, number)
                group.cancel_scope.cancel()
        return max(self._statuses)

    def _stop(self) -> None:
        self._stop_level += 1
        self._tell()

    async def _watch(self, changes: Callable[[], AsyncIterator[str]]) -> None:
        try:
            async for found in changes():
                logger.info("Changed: %s. Starting anew when running tasks have finished", found)
                self._generation += 1
                self._tell()
        except Exception as error:  # noqa: BLE001 - the library's own, such as no more watches: the work goes on
            logger.error("Files are not watched any more: %s. WATCHFILES_FORCE_POLLING=1 does without the system's help", error)

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        for child in self._children:
            self._tell_child(child)

    def _tell_child(self, child: _Child) -> None:
        child.stop(max(self._stop_level, int(child.generation != self._generation)))

    async def _keep(self, number: int) -> None:
        """Run one process, and another one whenever it ends, until all are to stop."""
        generation, deaths = -1, 0
        while True:
            is_first, generation = generation != self._generation, self._generation
            began = time.monotonic()
            command = self._command(is_first and number == 0, number == 0 or not is_first)
            status = await self._run_one(command, generation)
            if self._stop_level:
                break
            if generation != self._generation:
                deaths = 0
                continue
            deaths = 1 if time.monotonic() - began > STEADY_SECONDS else deaths + 1
            if status == CANNOT_START and is_first and self._changes is None:
                if number == 0:
                    self._stop()  # the others have the same configuration
                    break
                seconds = LONGEST_WAIT_SECONDS  # the first one says why, and is not to be stopped before it has
            else:
                seconds = self._explain(number, status, deaths)
            if await self._pause(seconds, generation):
                break
        self._statuses.append(_exit_status(status))

    async def _run_one(self, command: Sequence[str], generation: int) -> int:
        try:
            child = await _Child.start(command, generation)
        except OSError as error:
            logger.error("A process cannot be started: %s", error)
            return 1
        self._children.add(child)
        self._tell_child(child)  # what was said while it was being started
        try:
            return await child.wait()
        finally:
            self._children.discard(child)

    def _explain(self, number: int, status: int, deaths: int) -> float:
        """Say that a process ended, and return in how many seconds it is started again."""
        if status == CANNOT_START and self._changes is not None:
            if number == 0:
                logger.error("The worker cannot start: waiting for the next change")
            return math.inf
        seconds = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(deaths - 1, 16))
        logger.error("Process %d of %d %s. Starting it again in %g s", number + 1, self._count, _how(status), seconds)
        return seconds

    async def _pause(self, seconds: float, generation: int) -> bool:
        """Wait, until the files change at the latest; return whether all are to stop."""
        with anyio.move_on_after(seconds):
            while not self._stop_level and generation == self._generation:
                await self._news.wait()
        return self._stop_level > 0


class _Child:
    """One process; it lives as long as that."""

    def __init__(self, process: asyncio.subprocess.Process, line: int, generation: int) -> None:
        self._process = process
        self._line = line
        self._level = 0
        self.generation = generation

    @classmethod
    async def start(cls, command: Sequence[str], generation: int) -> _Child:
        """Start it, with our environment, output and error stream."""
        theirs, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # what a session is on Windows
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours, generation)

    def stop(self, level: int) -> None:
        """Have it stop: 1 gracefully, 2 at once. What it was told before is not said again."""
        for _ in range(self._level, level):
            with suppress(OSError):  # it ended meanwhile
                os.write(self._line, bytes([signal.SIGTERM]))
        self._level = max(self._level, level)

    async def wait(self) -> int:
        """Wait for its end and return its status; negative: the signal that killed it."""
        try:
            status = await self._process.wait()
        finally:
            os.close(self._line)
        # Told to stop before it could hear it as more than a signal, it ended as it was told.
        return 0 if self._level and status == -signal.SIGTERM else status


def _exit_status(status: int) -> int:
    if status == CANNOT_START:
        return 1
    return status if status >= 0 else 128 - status


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
