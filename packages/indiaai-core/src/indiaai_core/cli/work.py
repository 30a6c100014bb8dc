"""One worker in this process, as the command line asks for it; imported by the worker command and its child processes."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import anyio

from indiaai_core.cli.logs import start_log
from indiaai_core.cli.output import print_failure
from indiaai_core.cli.summary import summary
from indiaai_core.errors import ConfigurationError, IndiaAIError
from indiaai_core.platform import Platform
from indiaai_core.queue import LAYER
from indiaai_core.selection import Slot, select
from indiaai_core.worker import Worker, load_worker, serve

__all__ = ["CANNOT_START", "Work", "do_work"]

CANNOT_START = 78
"""The status of a process whose configuration is wrong, so that starting it again is of no use: EX_CONFIG in sysexits.h."""

MAIN_QUEUE = "default"
"""What the queue that has no name is called where a name is asked for."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a process is to do; it crosses to another process as text.

    Attributes:
        target: Where the worker is: `module:attribute`.
        concurrency: How many tasks to work at once; None leaves it to the worker.
        queues: The named instances to work, with their weights; empty leaves it to the worker. The main one is
            called `default`.
        processes: How many processes do the same.
        announces: Whether to print what is run.
        explains: Whether to print why it cannot be run. Where all have the same reason, one of them does.
        log_format: `text`, or `json` for one object a line.
    """

    target: str
    concurrency: int | None = None
    queues: Mapping[str, int] = field(default_factory=dict)
    processes: int = 1
    announces: bool = True
    explains: bool = True
    log_format: str = "text"

    @classmethod
    def parse(cls, text: str) -> Work:
        """Read what `str` wrote."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        """Write it for another process."""
        return json.dumps(asdict(self))

    def log(self) -> None:
        """Send the log to the error stream; with the process's id, where there are several."""
        start_log(self.log_format, is_of_many=self.processes > 1)


def do_work(work: Work, on_loaded: Callable[[Worker], object] = lambda _: None) -> int:
    """Work until interrupted.

    Args:
        work: What to do.
        on_loaded: Is given the worker before it runs.

    Returns:
        The exit status: 0 after a graceful stop, `CANNOT_START` where the configuration is wrong, 1 where a service does
        not answer at start. What went wrong was printed then.
    """
    work.log()
    try:
        worker = _load(work)
        on_loaded(worker)
        platform = Platform()
        _require_shared_queue(work, worker, platform)
        if work.announces:
            lines = summary(worker, platform.environment, target=work.target, processes=work.processes)
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        anyio.run(serve, worker, platform)
    except ConfigurationError as error:
        if work.explains:
            print_failure(f"{error}{_place(error.__cause__)}")
        return CANNOT_START
    except IndiaAIError as error:
        print_failure(str(error))
        return 1
    return 0


def _load(work: Work) -> Worker:
    worker = load_worker(work.target)
    if work.concurrency is not None:
        worker.concurrency = work.concurrency
    if work.queues:
        worker.queues = {None if name == MAIN_QUEUE else name: weight for name, weight in work.queues.items()}
    return worker


def _require_shared_queue(work: Work, worker: Worker, platform: Platform) -> None:
    """Say of several processes what is wrong with them; of one, `serve` does."""
    environment = platform.environment
    for name in worker.queues if work.processes > 1 else ():
        backend = select(Slot(LAYER.name, name), environment).backend
        if "in_process" in getattr(backend, "capabilities", ()):
            variable = environment.for_instance(name).variable(LAYER.variable)
            raise ConfigurationError(
                f"{backend.__name__} lives in one process: each of {work.processes} processes would work an empty queue of "
                f"its own. Let the application work it (install(app, worker=worker)), or set {variable} to a queue that "
                f"processes share."
            )


def _place(cause: BaseException | None) -> str:
    """Say where in the application an import failed: a syntax error with its line, another with the place it was raised."""
    if isinstance(cause, SyntaxError):
        return "\n" + "".join(traceback.format_exception_only(cause)).rstrip()
    if cause is None:
        return ""
    ours = str(importlib.import_module("indiaai_core").__file__).removesuffix("__init__.py")
    frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if not frame.filename.startswith(("<frozen", ours))]
    frames = [frame for frame in frames if frame.filename != importlib.__file__]
    return f"\n  at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
