"""What a call costs on top of the backend's own: the factories, an operation with one observer, with each of the wrappers.

Everything runs in one process; the contenders are interleaved, and the table gives the median of many short batches, in
nanoseconds a call, with what it adds to the bare call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter_ns

import pluggy
import svcs

from indiaai_core import Platform, StorageService, get_storage_service, use_platform
from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.wrappers import observe
from indiaai_core.wrappers.metrics import metrics
from indiaai_core.wrappers.prefix import prefix
from indiaai_core.wrappers.retry import retry
from indiaai_core.wrappers.telemetry import telemetry
from indiaai_core.wrappers.timeout import timeout

BATCH = 2000


class Backend(StorageService):
    """A backend whose operations do nothing, so that all of the time is the call's."""

    capabilities = frozenset({"stat"})

    async def upload(self, file_key: str, file_data: object, *_: object, **__: object) -> str:
        """Do nothing."""
        return file_key

    async def download(self, file_key: str) -> bytes:
        """Do nothing."""
        return b""

    async def get_url(self, file_key: str, expires_in: int = 3600, **_: object) -> str:
        """Do nothing."""
        return file_key

    async def delete(self, file_key: str) -> bool:
        """Do nothing."""
        return True


class Plain:
    """What svcs gives out: it takes a service with `__aenter__` for an asynchronous one."""


def time_sync(function: Callable[[], object]) -> float:
    """Return the nanoseconds a call takes."""
    started = perf_counter_ns()
    for _ in range(BATCH):
        function()
    return (perf_counter_ns() - started) / BATCH


async def time_async(function: Callable[[str], Awaitable[object]]) -> float:
    """Return the nanoseconds an awaited call takes."""
    started = perf_counter_ns()
    for _ in range(BATCH):
        await function("key")
    return (perf_counter_ns() - started) / BATCH


def pluggy_hook() -> Callable[[], object]:
    """Return a call of a pluggy hook with one implementation, the other way to reach a plugin."""
    spec, implementation = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")

    class Spec:
        @spec(firstresult=True)
        def get_service(self, name: str) -> object:
            """Give a service."""

    class Plugin:
        @implementation
        def get_service(self, name: str) -> object:
            return name

    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    manager.register(Plugin())
    return lambda: manager.hook.get_service(name="storage")


WRAPPERS: dict[str, Callable[..., StorageService]] = {
    "retry": retry,
    "timeout": timeout,
    "prefix": prefix,
    "metrics": metrics,
    "telemetry": telemetry,
}


def wrapped(backend: StorageService, wrapper: Callable[..., StorageService]) -> StorageService:
    """Put a wrapper in front of the backend, as its variable would."""
    environment = Environment.read({"STORAGE_PREFIX": "tenants/asha/"})
    return wrapper(backend, layer=find_layer("storage"), environment=environment)


async def measure(rounds: int) -> None:
    """Measure in interleaved batches and print the table."""
    platform = Platform()
    backend = Backend()
    platform.override("storage", backend)
    registry = svcs.Registry()
    registry.register_value(Plain, Plain())
    container = svcs.Container(registry)
    container.get(Plain)
    observed = observe(backend, interface=StorageService, observer=lambda name, nanoseconds, error: None)
    hook = pluggy_hook()
    with use_platform(platform):
        sync: dict[str, Callable[[], object]] = {
            "get_storage_service(), cached": get_storage_service,
            "svcs container.get, cached": lambda: container.get(Plain),
            "pluggy hook, one implementation": hook,
        }
        calls: dict[str, Callable[[str], Awaitable[object]]] = {
            "backend.download": backend.download,
            "platform's service, no wrapper": get_storage_service().download,
            "with one observer": observed.download,
            **{f"with the wrapper {name}": wrapped(backend, wrapper).download for name, wrapper in WRAPPERS.items()},
        }
        samples: dict[str, list[float]] = {name: [] for name in [*sync, *calls]}
        for _ in range(rounds):
            for name, function in sync.items():
                samples[name].append(time_sync(function))
            for name, call in calls.items():
                samples[name].append(await time_async(call))
    show(samples, list(calls), rounds)


def show(samples: dict[str, list[float]], operations: list[str], rounds: int) -> None:
    """Print the medians, and what each operation adds to the bare one."""
    bare = statistics.median(samples["backend.download"])
    print(f"{'median of ' + str(rounds) + ' batches':36}{'ns a call':>12}{'over the bare call':>22}")
    for name, values in samples.items():
        added = f"{statistics.median(values) - bare:22.0f}" if name in operations else ""
        print(f"{name:36}{statistics.median(values):12.0f}{added}")


def main() -> None:
    """Run the benchmark in an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=51)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds))


if __name__ == "__main__":
    main()
