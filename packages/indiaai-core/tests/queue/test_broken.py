"""The conformance suite against queues that are wrong in one way: each fails its own promise, and no other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import broken_crowds
import broken_delivery
import broken_options
import broken_outcomes
import broken_returns
import pytest
from plain_queue import PlainQueue, Shelf
from virtual_time import LoopClock, VirtualTimeLoop

from indiaai_core.testing.promises import list_promises
from indiaai_core.testing.queue import QueueConformance

MODULES = (broken_delivery, broken_outcomes, broken_options, broken_returns, broken_crowds)
BROKEN: list[type[Any]] = [
    member for module in MODULES for member in vars(module).values() if inspect.isclass(member) and "breaks" in vars(member)
]
SUITE = QueueConformance()
INNER_TESTS = {
    name: test.hypothesis.inner_test  # taken before anyio's plugin puts its own runner in its place
    for name, test in inspect.getmembers(QueueConformance, lambda member: hasattr(member, "hypothesis"))
}
TESTS = {test.promise.number: test for _, test in inspect.getmembers(SUITE, lambda member: hasattr(member, "promise"))}

# These try anything, or a lot, so they may find what another promise is about; each has a fault of its own all the same.
GENERAL = {"Q00", "Q103", "Q157"}


class FirstFailure(BaseException):
    """One example failed, which is enough."""


def failures(queue_class: type[Any], numbers: Iterable[str], *, cases_each: int = 3) -> set[str]:
    """Return the numbers of the promises that a queue does not keep: its own in every case, others in a few."""
    own = getattr(queue_class, "breaks", "")
    loop = VirtualTimeLoop()
    try:
        return {
            number
            for number in numbers
            for arguments in islice(cases(TESTS[number]), None if number == own else cases_each)
            if not holds(loop, TESTS[number], queue_class, arguments)
        }
    finally:
        loop.close()


def holds(loop: VirtualTimeLoop, test: Any, queue_class: type[PlainQueue], arguments: dict[str, Any]) -> bool:
    """Tell whether one promise holds in one case."""
    service = queue_class()
    second_service = queue_class(service.shelf)
    fixtures: dict[str, Any] = {
        "service": service,
        "second_service": second_service,
        "workers": [service, second_service],
        "bounded_service": queue_class(Shelf(room=5)),
        "clock": LoopClock(),
        "elapse": asyncio.sleep,
    }
    wanted = {name: value for name, value in fixtures.items() if name in inspect.signature(test).parameters}
    try:
        run(loop, test, {**wanted, **arguments})
    except (Exception, pytest.fail.Exception, FirstFailure):  # noqa: BLE001 - a broken queue may fail its promise in any way
        return False
    return True


def run(loop: VirtualTimeLoop, test: Any, arguments: dict[str, Any]) -> None:
    """Run an async test; one under `given` through Hypothesis' own hook for this, up to its first failure."""
    if not hasattr(test, "hypothesis"):
        loop.run_until_complete(test(**arguments))
        return

    def try_once(**made: Any) -> None:
        try:
            loop.run_until_complete(INNER_TESTS[test.__name__](**made))
        except (Exception, pytest.fail.Exception) as error:
            raise FirstFailure(test.__name__) from error

    handle = vars(test.__func__)["hypothesis"]  # Hypothesis documents its `inner_test` for runners of tests
    before, handle.inner_test = handle.inner_test, try_once
    try:
        test(**arguments)
    finally:
        handle.inner_test = before


def cases(test: Any) -> Iterator[dict[str, Any]]:
    """Give the arguments of each case that pytest would make of a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not marks:
        yield {}
        return
    names, values = marks[0].args
    for value in values:
        yield {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))


@pytest.mark.once
@pytest.mark.parametrize("queue_class", BROKEN, ids=lambda queue_class: f"{queue_class.breaks}-{queue_class.__name__}")
def test_broken_queue_fails_its_own_promise_and_no_other(queue_class: Any) -> None:
    """A queue that is wrong in one way is found out by the promise about it."""
    found = failures(queue_class, set(TESTS) - GENERAL | {queue_class.breaks})

    assert found == {queue_class.breaks}, queue_class.__doc__


def test_right_queue_keeps_every_promise() -> None:
    """What fails a broken queue is its fault, and not the judge's."""
    assert failures(PlainQueue, TESTS, cases_each=100) == set()


def test_every_promise_is_broken_by_somebody() -> None:
    """No promise is kept only because nothing could break it."""
    assert {queue_class.breaks for queue_class in BROKEN} == {kept.number for kept in list_promises(QueueConformance)}
