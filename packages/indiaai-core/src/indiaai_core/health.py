"""Whether services can serve, asked of all of them side by side; imported by the platform and the edges."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indiaai_core.errors import BackendUnavailable, ConfigurationError, IndiaAIError
from indiaai_core.layers import lifecycle_of

__all__ = ["CHECK_TIMEOUT_SECONDS", "START_ROUNDS", "Health", "check_all", "check_at_start", "require_healthy"]

CHECK_TIMEOUT_SECONDS = 2.0
"""How long one service's check may take before it counts as failed."""

START_ROUNDS = 3
"""How often a service that does not answer in time is asked at start."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a service's check found.

    Attributes:
        is_healthy: Whether it can serve.
        seconds: How long the check took.
        error: Why it cannot; None if it can.
        is_late: Whether the check was given up because it took too long.
    """

    is_healthy: bool
    seconds: float
    error: IndiaAIError | None = None
    is_late: bool = False


async def check_at_start(services: Mapping[str, Any]) -> dict[str, Health]:
    """Check services as `check_all` does, and those that were late up to `START_ROUNDS` times.

    The first check of all imports a client library, which on a small and busy machine takes seconds; the next finds it.
    """
    found = await check_all(services)
    for _ in range(START_ROUNDS - 1):
        late = {name: services[name] for name, health in found.items() if health.is_late}
        found.update(await check_all(late))
    return found


async def check_all(services: Mapping[str, Any]) -> dict[str, Health]:
    """Check services side by side, each for `CHECK_TIMEOUT_SECONDS` at most.

    Args:
        services: The services under the names to report them by.
    """
    import anyio

    found: dict[str, Health] = {}

    async def check(name: str, service: Any) -> None:
        found[name] = await _check(name, service)

    async with anyio.create_task_group() as group:
        for name, service in services.items():
            group.start_soon(check, name, service)
    return {name: found[name] for name in services}


async def _check(name: str, service: Any) -> Health:
    import anyio

    started = time.perf_counter()
    error: IndiaAIError | None = None
    is_late = False
    try:
        with anyio.fail_after(CHECK_TIMEOUT_SECONDS):
            await lifecycle_of(service, "check")()
    except TimeoutError:
        error = BackendUnavailable(f"{name} did not answer within {CHECK_TIMEOUT_SECONDS:g} s.")
        is_late = True
    except IndiaAIError as raised:
        error = raised
    except Exception as raised:  # noqa: BLE001 - a stranger's backend may raise anything, and the others are to be checked
        error = BackendUnavailable(f"{name} failed its check: {type(raised).__name__}: {raised}")
        error.__cause__ = raised
    return Health(error is None, time.perf_counter() - started, error, is_late)


def require_healthy(found: Mapping[str, Health]) -> None:
    """Raise one error that names every service that cannot serve.

    Raises:
        ConfigurationError: A service never will with these settings.
        BackendUnavailable: A service cannot serve now.
    """
    errors = {name: health.error for name, health in found.items() if health.error}
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        kind = (
            ConfigurationError
            if any(isinstance(error, ConfigurationError) for error in errors.values())
            else BackendUnavailable
        )
        raise kind(
            "".join([f"{len(errors)} services cannot serve:", *(f"\n  {name}: {error}" for name, error in errors.items())])
        )
