"""`indiaai check`: what is installed, the settings, then a live round trip through each selected backend, side by side."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from indiaai_core.cli.installation import stale_installs, unmet_requirements
from indiaai_core.cli.output import print_check, print_json, print_notes
from indiaai_core.environment import Environment
from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError
from indiaai_core.layers import lifecycle_of
from indiaai_core.naming import Names
from indiaai_core.platform import Platform
from indiaai_core.scan import examine
from indiaai_core.selection import Selection, declared_slots, names_of, select
from indiaai_core.spelling import ConfigurationWarning, is_strict, misspelt_variables

__all__ = ["run_checks"]

PROBE_TIMEOUT_SECONDS = 3.2
"""How long one backend's round trip may take before it counts as failed: with start and end, all is said within 5 s."""

GRACE_SECONDS = 0.4
"""How much longer the round trips together may take, and then the services to close, before nobody waits for them."""

leave = os._exit
"""Ends the process where a thread still waits for a backend: the interpreter's own end would wait for that."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What one check found; a caveat is ok unless warnings are errors."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""
    is_caveat: bool = False


class _Report:
    """What was found so far, shown as it comes unless a program reads it; closed, it takes no more."""

    def __init__(self, *, as_json: bool) -> None:
        self.results: list[_Result] = []
        self._as_json = as_json
        self._is_closed = False
        self._unread: OSError | None = None
        self._lock = threading.Lock()

    @property
    def is_ok(self) -> bool:
        return all(result.is_ok for result in self.results)

    def add(self, results: Iterable[_Result]) -> None:
        with self._lock:
            for result in () if self._is_closed else results:
                self.results.append(result)
                if not self._as_json and self._unread is None:
                    self._show(result)

    def _show(self, result: _Result) -> None:
        try:
            print_check(result.name, result.detail, is_ok=result.is_ok, is_caveat=result.is_caveat, remedy=result.remedy)
        except OSError as error:  # nobody reads any more, which is not for the thread of the round trips to say
            self._unread = error

    def require_reader(self) -> None:
        """Raise what printing raised."""
        if self._unread is not None:
            raise self._unread

    def close(self) -> None:
        with self._lock:
            self._is_closed = True


def run_checks(*, as_json: bool, is_strict_asked: bool = False) -> int:
    """Run all checks, print what they found, and return the exit status: 0 if all is well, 1 if not.

    Args:
        as_json: Whether a program reads it.
        is_strict_asked: Whether what is warned of fails; `INDIAAI_STRICT=1` does that to misspelt variables alone.
    """
    report = _Report(as_json=as_json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)  # what it says is found, and shown, here
        is_over = _check_all(report, is_strict_asked=is_strict_asked)
    report.require_reader()
    notes = [str(problem) for problem in examine()]
    if as_json:
        print_json({"ok": report.is_ok, "checks": [asdict(result) for result in report.results], "notes": notes})
    else:
        print_notes(notes)
    status = 0 if report.is_ok else 1
    if not is_over:
        sys.stdout.flush()
        leave(status)
    return status


def _check_all(report: _Report, *, is_strict_asked: bool) -> bool:
    """Check, and return whether all that was begun is over."""
    platform = Platform({"INDIAAI_STRICT": ""})  # what it would refuse for a misspelt variable is tried all the same
    report.add(_failed(stale_installs()))
    try:
        environment = Environment.read()
    except ConfigurationError as error:
        report.add(_wrong(error))
        return True
    selections = _select_all(environment, report)
    unmet, overridden = unmet_requirements(selections, environment)
    report.add(_failed(unmet))
    report.add(_caveats("", overridden, is_firm=is_strict_asked))
    misspelt = misspelt_variables(selections, environment)
    report.add(_caveats("", misspelt, is_firm=is_strict_asked or is_strict(environment)))
    return _Round(platform, selections, report, is_firm=is_strict_asked).run()


def _select_all(environment: Environment, report: _Report) -> list[Selection]:
    """Find what fills each slot; those that nothing fills are reported, and the others tried all the same."""
    selections: list[Selection] = []
    is_ok = True
    for slot in declared_slots(environment):
        try:
            selections.append(select(slot, environment))
        except ConfigurationError as error:
            is_ok = False
            report.add(_wrong(error))
    if is_ok:
        found = ", ".join(f"{selection.slot}={selection.backend.__name__}" for selection in selections)
        report.add([_Result("settings", True, found or "no layer is selected")])
    return selections


class _Round:
    """The round trips through all selected backends: in a thread, which is left alone when it takes too long."""

    def __init__(self, platform: Platform, selections: Sequence[Selection], report: _Report, *, is_firm: bool) -> None:
        self._platform = platform
        self._report = report
        self._is_firm = is_firm
        self._pending = {str(selection.slot): selection for selection in selections}
        self._answered = threading.Event()
        self._cancel: Callable[[], object] = bool  # does nothing, until there is something to cancel
        self._began = time.process_time()

    def run(self) -> bool:
        """Make them, and return whether the thread is over."""
        thread = threading.Thread(target=anyio.run, args=(self._probe_all,), name="indiaai-check", daemon=True)
        thread.start()
        seconds = PROBE_TIMEOUT_SECONDS + GRACE_SECONDS
        try:
            is_over = self._answered.wait(seconds) or (self._has_worked() and self._answered.wait(seconds))
        except KeyboardInterrupt:
            self._report.close()
            self._cancel()
            thread.join(PROBE_TIMEOUT_SECONDS)  # what was stored is taken back
            raise
        if not is_over:
            self._report.add([self._failure(selection, _late()) for selection in list(self._pending.values())])
        self._report.close()
        thread.join(GRACE_SECONDS)
        return not thread.is_alive()

    async def _probe_all(self) -> None:
        async with anyio.create_task_group() as group:
            loop = asyncio.get_running_loop()
            self._cancel = lambda: loop.call_soon_threadsafe(group.cancel_scope.cancel)
            for selection in list(self._pending.values()):
                group.start_soon(self._probe, selection)
        self._answered.set()
        await self._platform.aclose()

    async def _probe(self, selection: Selection) -> None:
        slot, name = selection.slot, selection.backend.__name__
        started = time.perf_counter()
        try:
            service: Any = self._platform.get_service(slot.layer, slot.instance)
            await self._make_trip(lifecycle_of(service, "probe", "check"))
            seconds = time.perf_counter() - started
            trip = _Result(str(slot), True, f"{name}: round trip in {seconds:.3f} s")
            caveats = await _ask_for_caveats(service, max(PROBE_TIMEOUT_SECONDS - seconds, GRACE_SECONDS))
            found = [self._names(selection).in_fault(caveat) for caveat in caveats]
            results = [trip, *_caveats(f"{slot}: ", found, is_firm=self._is_firm)]
        except TimeoutError:
            results = [self._failure(selection, _late())]
        except IndiaAIError as raised:
            results = [self._failure(selection, raised)]
        except Exception as raised:  # noqa: BLE001 - a stranger's backend may raise anything, and the others are to be checked
            results = [self._failure(selection, IndiaAIError(f"{type(raised).__name__}: {raised}"))]
        self._report.add(results)
        self._pending.pop(str(slot))

    async def _make_trip(self, trip: Callable[[], Awaitable[Any]]) -> None:
        try:
            with anyio.fail_after(PROBE_TIMEOUT_SECONDS):
                await trip()
        except TimeoutError:
            if not self._has_worked():
                raise
            with anyio.fail_after(PROBE_TIMEOUT_SECONDS):
                await trip()

    def _has_worked(self) -> bool:
        """Tell whether time went into loading client libraries, on a busy machine: then it says nothing of a host."""
        return time.process_time() - self._began > PROBE_TIMEOUT_SECONDS / 6

    def _names(self, selection: Selection) -> Names:
        return names_of(selection.slot, self._platform.environment)

    def _failure(self, selection: Selection, error: IndiaAIError) -> _Result:
        self._names(selection).in_error(error)
        faults: Sequence[Fault] = getattr(error, "faults", ())
        remedies = dict.fromkeys(fault.remedy for fault in faults if fault.remedy)
        detail = str(error)
        for remedy in remedies:  # which is told by itself
            detail = detail.replace(f"; {remedy}", "")
        remedy = "; ".join(remedies) or _advice(error, selection, self._platform.environment)
        return _Result(str(selection.slot), False, f"{selection.backend.__name__}: {detail}", remedy)


def _late() -> BackendUnavailable:
    return BackendUnavailable(f"no answer within {PROBE_TIMEOUT_SECONDS:g} s")


async def _ask_for_caveats(service: Any, seconds: float) -> Sequence[Fault]:
    with anyio.move_on_after(seconds):
        return await lifecycle_of(service, "caveats")() or ()
    return ()


def _wrong(error: ConfigurationError) -> list[_Result]:
    return list(_failed(error.faults)) or [_Result("settings", False, str(error))]


def _failed(faults: Iterable[Fault]) -> Iterator[_Result]:
    for fault in faults:
        yield _Result(fault.variable, False, f"{fault.found}, expected {fault.expected}", fault.remedy)


def _caveats(where: str, faults: Iterable[Fault], *, is_firm: bool) -> Iterator[_Result]:
    for fault in faults:
        detail = f"{fault.found}, expected {fault.expected}"
        yield _Result(f"{where}{fault.variable}", not is_firm, detail, fault.remedy, is_caveat=True)


def _advice(error: IndiaAIError, selection: Selection, environment: Environment) -> str:
    if not isinstance(error, BackendUnavailable):
        return "see the backend's page in the documentation"
    place = getattr(selection.settings, "server", "")
    what = place if isinstance(place, str) and place else "it"
    variables = ", ".join(_given(selection, environment.for_instance(selection.slot.instance)))
    named = f"as {variables} say" if variables else "which is the default: no variable of its own is set"
    return f"see that {what} runs and can be reached from here, {named}"


def _given(selection: Selection, environment: Environment) -> Iterator[str]:
    if selection.settings is not None:
        from indiaai_core.settings import field_variables

        for variables in field_variables(type(selection.settings)).values():
            yield from filter(None, map(environment.given_by, variables))
