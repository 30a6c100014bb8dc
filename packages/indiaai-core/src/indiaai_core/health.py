"""Whether services can serve, asked of all of them side by side; imported by the platform and the edges."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indiaai_core.errors import BackendUnavailable, ConfigurationError, IndiaAIError

__all__ = ["CHECK_TIMEOUT_SECONDS", "START_TIMEOUT_SECONDS", "Health", "check_all", "require_healthy"]

CHECK_TIMEOUT_SECONDS = 2.0
"""How long one service's check may take before it counts as failed."""

START_TIMEOUT_SECONDS = 15.0
"""The same for the first check of all: it imports the client libraries, which on a small and busy machine takes seconds."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a service's check found.

    Attributes:
        is_healthy: Whether it can serve.
        seconds: How long the check took.
        error: Why it cannot; None if it can.
    """

    is_healthy: bool
    seconds: float
    error: IndiaAIError | None = None


async def check_all(services: Mapping[str, Any], *, timeout_seconds: float | None = None) -> dict[str, Health]:
    """Check services side by side, each for as long at most.

    Args:
        services: The services under the names to report them by.
        timeout_seconds: How long; `CHECK_TIMEOUT_SECONDS` where None.
    """
    import anyio

    found: dict[str, Health] = {}

    async def check(name: str, service: Any) -> None:
        found[name] = await _check(name, service, timeout_seconds or CHECK_TIMEOUT_SECONDS)

    async with anyio.create_task_group() as group:
        for name, service in services.items():
            group.start_soon(check, name, service)
    return {name: found[name] for name in services}


async def _check(name: str, service: Any, timeout_seconds: float) -> Health:
    import anyio

    started = time.perf_counter()
    error: IndiaAIError | None = None
    try:
        with anyio.fail_after(timeout_seconds):
            await service.check()
    except TimeoutError:
        error = BackendUnavailable(f"{name} did not answer within {timeout_seconds:g} s.")
    except IndiaAIError as raised:
        error = raised
    except Exception as raised:  # noqa: BLE001 - a stranger's backend may raise anything, and the others are to be checked
        error = BackendUnavailable(f"{name} failed its check: {type(raised).__name__}: {raised}")
        error.__cause__ = raised
    return Health(error is None, time.perf_counter() - started, error)


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
