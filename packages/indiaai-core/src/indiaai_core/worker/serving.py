"""A worker as a process of its own: finding it and running it on a platform; imported by the command line."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.platform import Platform, use_platform
from indiaai_core.worker.worker import Worker

__all__ = ["load_worker", "serve"]


def load_worker(target: str) -> Worker:
    """Import the worker that a `module:attribute` names; the working directory is looked in first, as uvicorn does.

    Raises:
        ConfigurationError: There is no such module, it does not import, it has no such attribute, or that is no worker.
    """
    module_name, separator, attribute = target.partition(":")
    if not separator or not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise _fault(target, "it is not of the form module:attribute", "such as main:worker")
    module = _import(module_name, target)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise _fault(target, f"{module_name} has no attribute {attribute!r}", _workers_in(module))
        found = getattr(found, part)
    if not isinstance(found, Worker):
        kind = f"a {type(found).__name__}" if not isinstance(found, type) else f"the class {found.__name__}"
        raise _fault(target, f"{attribute!r} is {kind}, not a Worker", _workers_in(module))
    return found


async def serve(worker: Worker, platform: Platform) -> None:
    """Open a platform, check it, and work its queues until SIGTERM or SIGINT, as `Worker.run_forever` does.

    Args:
        worker: The worker.
        platform: A platform that is not open yet; it is closed at the end.

    Raises:
        ConfigurationError: The configuration is wrong, or a queue lives in one process, which would be this one.
        BackendUnavailable: A service cannot serve.
    """
    async with platform:
        if worker.is_in_process(platform):
            _refuse_lonely_queue(worker, platform)
        # What is loaded by now stays: the garbage collector need not look through all of it again and again, which would
        # cost each short task a tenth of its time.
        gc.freeze()
        try:
            with use_platform(platform):
                await worker.run_forever()
        finally:
            gc.unfreeze()


def _refuse_lonely_queue(worker: Worker, platform: Platform) -> None:
    name = next(iter(worker.queues))
    backend = type(platform.get_service("queue", name)).__name__
    variable = platform.environment.for_instance(name).variable("QUEUE_TYPE")
    remedy = f"let the application work it: install(app, worker=worker); or set {variable} to a queue that processes share"
    raise ConfigurationError(
        f"{backend} lives in one process: a worker of its own would work an empty queue for ever. To mend it, {remedy}.",
        faults=[Fault(variable, f"{backend} lives in one process", "a queue that processes share", remedy)],
    )


def _import(module_name: str, target: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise _fault(target, f"there is no module {error.name!r}", f"a module in {folder} or installed") from error
        raise _fault(target, f"{module_name} does not import: {error}", "a module that imports") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _fault(target, f"{module_name} does not import: {reason}", "a module that imports") from error


def _workers_in(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Worker)]
    return f"one of {', '.join(f'{module.__name__}:{name}' for name in names)}" if names else "a Worker in that module"


def _fault(target: str, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no worker at {target!r}: {found}. Expected {expected}.", faults=[Fault(target, found, expected)]
    )
