"""Has every run of tests end in order, so that no server outlives it; pytest reads it before a package's own."""

from __future__ import annotations

import os
import signal

PID = os.getpid()


def pytest_configure() -> None:
    """Take SIGTERM for Ctrl-C, and Ctrl-C for what it is.

    A shell without job control has what it runs behind `&` ignore Ctrl-C, and so would all that tests start, to the end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: object) -> None:
    if os.getpid() == PID:
        signal.raise_signal(signal.SIGINT)
        return
    signal.signal(number, signal.SIG_DFL)  # a child that a test forked has no fixtures to close
    os.kill(os.getpid(), number)
