"""Stopping a worker at SIGTERM and SIGINT; imported by the worker's `run_forever` and by nothing that serves an application."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["stopping_at_signals"]

logger = logging.getLogger("indiaai.worker")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_at_signals(stop: Callable[[], None], stop_now: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGTERM or SIGINT and `stop_now` at the second; a third does what it did before.

    That the third ends the process matters: a plain handler's thread cannot be stopped, and a process ends after its
    threads. Outside of the main thread no signal can be handled; a warning says so.
    """
    loop = asyncio.get_running_loop()
    steps = iter([stop, stop_now])
    replaced: dict[signal.Signals, Any] = {}

    def received() -> None:
        step = next(steps)
        if step is stop_now:
            _restore(loop, replaced)
        else:
            logger.info("Stopping: running tasks may finish. A second signal stops at once")
        step()

    for number in STOP_SIGNALS:
        previous = signal.getsignal(number)
        if _install(loop, number, received):
            replaced[number] = previous
    try:
        yield
    finally:
        _restore(loop, replaced)


def _install(loop: asyncio.AbstractEventLoop, number: signal.Signals, received: Callable[[], None]) -> bool:
    try:
        loop.add_signal_handler(number, received)
    except NotImplementedError:
        # Windows: Python's own handler runs between two bytecodes of the main thread, so it only hands over to the loop.
        def hand_over(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(received)

        signal.signal(number, hand_over)
    except (ValueError, RuntimeError):
        logger.warning("The worker does not run in the main thread and cannot stop at %s", number.name)
        return False
    return True


def _restore(loop: asyncio.AbstractEventLoop, replaced: dict[signal.Signals, Any]) -> None:
    while replaced:
        number, previous = replaced.popitem()
        with suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL if previous is None else previous)
