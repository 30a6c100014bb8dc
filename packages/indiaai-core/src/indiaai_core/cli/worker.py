"""`indiaai worker`: works a shared queue in a process of its own."""

from __future__ import annotations

import logging

import anyio

from indiaai_core.cli.output import print_failure
from indiaai_core.errors import IndiaAIError
from indiaai_core.platform import Platform
from indiaai_core.worker import load_worker, serve

__all__ = ["run_worker"]


def run_worker(target: str) -> int:
    """Work until interrupted, and return the exit status: 0 after a graceful stop, 1 where it cannot start.

    Args:
        target: Where the worker is: `module:attribute`, looked for in the working directory first, as uvicorn does.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        anyio.run(serve, load_worker(target), Platform())
    except IndiaAIError as error:
        print_failure(str(error))
        return 1
    return 0
