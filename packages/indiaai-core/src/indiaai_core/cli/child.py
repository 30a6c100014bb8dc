"""A process that the supervisor of `indiaai worker --processes` starts; the command that it starts imports this."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from indiaai_core.cli.work import Work, do_work
from indiaai_core.worker import Worker

__all__ = ["Parent", "main"]

logger = logging.getLogger("indiaai.worker")

GIVE_BACK_SECONDS = 15.0
"""How long an orphan may take to give its tasks back after their grace time, before it ends whatever it does."""


class Parent:
    """The process that started this one, at the other end of a pipe: a byte is a signal's number, the end is its death.

    A pipe and no `PR_SET_PDEATHSIG`: it is there on every system, and it tells of a death that came before anybody looked.
    """

    def __init__(self, descriptor: int) -> None:
        """Hold the pipe's end; `listen` reads it."""
        self._descriptor = descriptor
        self._grace_seconds = 0.0
        self.is_gone = False

    @classmethod
    def at_stdin(cls) -> Parent:
        """Take the pipe from where the supervisor put it, so that no handler reads from it and no program of one's."""
        descriptor = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        return cls(descriptor)

    def loaded(self, worker: Worker) -> None:
        """Hear how long the worker's handlers may go on."""
        self._grace_seconds = worker.grace_seconds

    def listen(self) -> None:
        """Raise the signals that are sent; at the parent's death stop gracefully, and end when that takes too long."""
        while told := os.read(self._descriptor, 1):
            signal.raise_signal(told[0])
        self.is_gone = True
        logger.error("The process that started this worker is gone: stopping")
        signal.raise_signal(signal.SIGTERM)
        time.sleep(self._grace_seconds + GIVE_BACK_SECONDS)
        self.end(1)

    def end(self, status: int) -> None:
        """End this process. An orphan does not wait for its threads: nobody would end it if one of them hung."""
        if not self.is_gone:
            sys.exit(status)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    """Do the work that the first argument describes, until the parent says otherwise or dies."""
    parent = Parent.at_stdin()
    threading.Thread(target=parent.listen, name="indiaai-parent", daemon=True).start()
    parent.end(do_work(Work.parse(sys.argv[1]), parent.loaded))
