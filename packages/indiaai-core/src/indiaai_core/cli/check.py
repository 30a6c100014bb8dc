"""`indiaai check`: settings, then a live round trip through each selected backend, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from indiaai_core.cli.output import print_check, print_json, print_notes
from indiaai_core.errors import BackendUnavailable, ConfigurationError, IndiaAIError
from indiaai_core.layers import lifecycle_of
from indiaai_core.platform import Platform
from indiaai_core.scan import examine
from indiaai_core.selection import Selection

__all__ = ["run_checks"]

PROBE_TIMEOUT_SECONDS = 5.0
"""How long one backend's round trip may take before it counts as failed."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What one check found."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""


def run_checks(*, as_json: bool) -> int:
    """Run all checks, print what they found, and return the exit status: 0 if all is well, 1 if not."""
    show: Callable[[_Result], None] = (lambda _: None) if as_json else _print
    notes = [str(problem) for problem in examine()]
    results = anyio.run(_check_all, show)
    if as_json:
        print_json(
            {"ok": all(result.is_ok for result in results), "checks": [asdict(result) for result in results], "notes": notes}
        )
    else:
        print_notes(notes)
    return 0 if all(result.is_ok for result in results) else 1


def _print(result: _Result) -> None:
    print_check(result.name, result.detail, is_ok=result.is_ok, remedy=result.remedy)


async def _check_all(show: Callable[[_Result], None]) -> list[_Result]:
    platform = Platform()
    results = _check_settings(platform)
    for result in results:
        show(result)
    if not all(result.is_ok for result in results):
        return results

    async def probe(selection: Selection) -> None:
        result = await _probe(platform, selection)
        results.append(result)
        show(result)

    try:
        async with anyio.create_task_group() as group:
            for selection in platform.prepare():
                group.start_soon(probe, selection)
    finally:
        await platform.aclose()
    return results


def _check_settings(platform: Platform) -> list[_Result]:
    try:
        selections = platform.prepare()
    except ConfigurationError as error:
        if not error.faults:
            return [_Result("settings", False, str(error))]
        return [
            _Result(fault.variable, False, f"{fault.found}, expected {fault.expected}", fault.remedy) for fault in error.faults
        ]
    found = ", ".join(f"{selection.slot}={selection.backend.__name__}" for selection in selections)
    return [_Result("settings", True, found or "no layer is selected")]


async def _probe(platform: Platform, selection: Selection) -> _Result:
    slot = selection.slot
    started = time.perf_counter()
    error: IndiaAIError | None = None
    try:
        service: Any = platform.get_service(slot.layer, slot.instance)
        with anyio.fail_after(PROBE_TIMEOUT_SECONDS):
            await lifecycle_of(service, "probe", "check")()
    except TimeoutError:
        error = BackendUnavailable(f"no answer within {PROBE_TIMEOUT_SECONDS:g} s")
    except IndiaAIError as raised:
        error = raised
    except Exception as raised:  # noqa: BLE001 - a stranger's backend may raise anything, and the others are to be checked
        error = IndiaAIError(f"{type(raised).__name__}: {raised}")
    if error is None:
        return _Result(str(slot), True, f"{selection.backend.__name__}: round trip in {time.perf_counter() - started:.3f} s")
    remedies = [fault.remedy for fault in getattr(error, "faults", ()) if fault.remedy]
    return _Result(str(slot), False, f"{selection.backend.__name__}: {error}", "; ".join(remedies) or _advice(error))


def _advice(error: IndiaAIError) -> str:
    if isinstance(error, BackendUnavailable):
        return "see that the server runs and that the variables name it"
    return "see the backend's page in the documentation"
