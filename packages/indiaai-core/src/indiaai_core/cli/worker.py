"""`indiaai worker`: works a shared queue, in this process or in several that it supervises."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from indiaai_core.cli.changes import changes, require_watcher
from indiaai_core.cli.output import print_failure
from indiaai_core.cli.supervisor import Supervisor
from indiaai_core.cli.work import CANNOT_START, Work, do_work
from indiaai_core.errors import ConfigurationError

__all__ = ["run_worker"]


def run_worker(work: Work, *, reload: bool = False) -> int:
    """Work until interrupted.

    Args:
        work: What to do, and in how many processes.
        reload: Whether to start anew when a Python file under the working directory changes.

    Returns:
        The exit status: 0 after a graceful stop; 1 where it cannot start; 2 where `reload` lacks its library; with several
        processes the worst of theirs.
    """
    if not reload and work.processes == 1:
        status = do_work(work)
        return 1 if status == CANNOT_START else status
    try:
        if reload:
            require_watcher()
    except ConfigurationError as error:
        print_failure(str(error))
        return 2
    work.log()
    watch = partial(changes, Path.cwd()) if reload else None

    def command(announces: bool, explains: bool) -> list[str]:
        child = replace(work, announces=announces, explains=explains)
        # -P: our own imports are not looked for in the working directory; the worker's module is found there all the same.
        return [sys.executable, "-P", "-c", "from indiaai_core.cli.child import main; main()", str(child)]

    return anyio.run(Supervisor(work.processes, command, changes=watch).run)
