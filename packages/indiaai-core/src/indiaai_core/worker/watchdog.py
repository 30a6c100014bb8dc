"""Notices a handler that blocks the event loop, and says where; imported by the worker's run."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from types import CodeType, FrameType

import anyio

from indiaai_core.worker.arguments import underlying
from indiaai_core.worker.handlers import Handler

__all__ = ["Watchdog"]

logger = logging.getLogger("indiaai.worker")

QUIET_SECONDS = 60.0
"""How long nothing more is said about a handler that was named."""


class Watchdog:
    """Watches the event loop while async handlers run, and sleeps while none do.

    The loop notes the time again and again; a thread sees when it stops doing so, and reads from the loop's own stack which
    handler it is in, and at which line. A number measured in the loop could only say, afterwards, that somebody did.
    """

    def __init__(self, handlers: Mapping[str, Handler], limit_seconds: float | None) -> None:
        """Prepare to watch.

        Args:
            handlers: The handlers that can be named.
            limit_seconds: How long the loop may stand still; None watches nothing.
        """
        self._handlers = handlers
        self._limit = limit_seconds
        self._running = 0
        self._beat = 0.0
        self._is_resting = True
        self._is_ended = False
        self._wake_thread = threading.Event()
        self._wake_loop: anyio.Event | None = None
        self._named_at: dict[str, float] = {}

    def begin(self) -> None:
        """Watch from now on: an async handler begins."""
        self._running += 1
        if self._is_resting and self._wake_loop is not None:
            self._is_resting = False
            # Before the handler's first step, which may be the one that blocks.
            self._beat = time.monotonic()
            self._wake_thread.set()
            self._wake_loop.set()

    def end(self) -> None:
        """Note that an async handler has ended."""
        self._running -= 1

    async def run(self) -> None:
        """Note the time while handlers run, until cancelled."""
        if self._limit is None:
            return
        codes = {_code(handler): handler.name for handler in self._handlers.values() if handler.is_async}
        self._wake_loop = anyio.Event()
        watcher = threading.Thread(
            target=self._watch, args=(threading.get_ident(), codes, self._limit), name="indiaai-watchdog", daemon=True
        )
        watcher.start()
        try:
            while True:
                if self._running:
                    self._beat = time.monotonic()
                    await anyio.sleep(self._limit / 4)
                else:
                    self._wake_loop = anyio.Event()
                    self._is_resting = True
                    self._wake_thread.clear()
                    await self._wake_loop.wait()
        finally:
            self._is_ended = True
            self._wake_thread.set()

    def _watch(self, loop_thread: int, codes: Mapping[CodeType | None, str], limit: float) -> None:
        while True:
            self._wake_thread.wait()
            if self._is_ended:
                return
            beat = self._beat
            if time.monotonic() - beat > limit:
                self._look(loop_thread, codes, limit, beat)
            time.sleep(limit / 4)

    def _look(self, loop_thread: int, codes: Mapping[CodeType | None, str], limit: float, beat: float) -> None:
        seen = _handler_frame(loop_thread, codes)
        if seen is None:
            return
        time.sleep(limit / 4)
        # Seen once, it may be one of many that each took a moment. Still in the same frame, it is the one.
        again = _handler_frame(loop_thread, codes)
        if again is None or again[0] is not seen[0] or self._beat != beat:
            return
        frame, place = again
        name = codes[frame.f_code]
        now = time.monotonic()
        if now - self._named_at.get(name, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._named_at[name] = now
            logger.warning(
                "The handler %r blocks the event loop, for %.0f ms so far, at %s. Everything else in this process waits for "
                "it: make it a plain `def`, which runs in a thread, or await what blocks in anyio.to_thread.run_sync",
                name, (now - beat) * 1000, place,
            )  # fmt: skip


def _handler_frame(loop_thread: int, codes: Mapping[CodeType | None, str]) -> tuple[FrameType, str] | None:
    """Return the handler's frame in a thread's stack, and the line it is at."""
    frame = sys._current_frames().get(loop_thread)  # documented, and the only way to another thread's stack
    while frame is not None:
        if frame.f_code in codes:
            return frame, f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _code(handler: Handler) -> CodeType | None:
    return getattr(underlying(handler.function), "__code__", None)  # a compiled extension's function has none
