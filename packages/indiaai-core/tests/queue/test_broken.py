"""The conformance suite against queues that are wrong in one way: each fails its own promise, and no other."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import broken_delivery
import broken_options
import broken_outcomes
import pytest
from plain_queue import PlainQueue
from virtual_time import VirtualTimeLoop

from indiaai_core.testing.promises import list_promises
from indiaai_core.testing.queue import QueueConformance

MODULES = (broken_delivery, broken_outcomes, broken_options)
BROKEN: list[type[Any]] = [
    member for module in MODULES for member in vars(module).values() if inspect.isclass(member) and "breaks" in vars(member)
]
TESTS = {
    test.promise.number: test
    for base in QueueConformance.__mro__
    for test in vars(base).values()
    if hasattr(test, "promise") and not hasattr(test, "hypothesis")
}


def failures(queue_class: type[PlainQueue]) -> set[str]:
    """Return the numbers of the promises that a queue does not keep."""
    loop = VirtualTimeLoop()
    try:
        return {
            number
            for number, test in TESTS.items()
            for arguments in cases(test)
            if not holds(loop, test, queue_class, arguments)
        }
    finally:
        loop.close()


def holds(loop: VirtualTimeLoop, test: Any, queue_class: type[PlainQueue], arguments: dict[str, Any]) -> bool:
    """Tell whether one promise holds in one case."""
    service = queue_class()
    if "second_service" in inspect.signature(test).parameters:
        arguments = {**arguments, "second_service": queue_class(service.shelf)}
    try:
        loop.run_until_complete(test(QueueConformance(), service=service, **arguments))
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a broken queue may fail its promise in any way
        return False
    return True


def cases(test: Any) -> Iterator[dict[str, Any]]:
    """Give the arguments of each case that pytest would make of a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not marks:
        yield {}
        return
    names, values = marks[0].args
    for value in values:
        yield {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))


@pytest.mark.parametrize("queue_class", BROKEN, ids=lambda queue_class: f"{queue_class.breaks}-{queue_class.__name__}")
def test_broken_queue_fails_its_own_promise_and_no_other(queue_class: Any) -> None:
    """A queue that is wrong in one way is found out by the promise about it."""
    found = failures(queue_class)

    assert found == {queue_class.breaks}, queue_class.__doc__


def test_right_queue_keeps_every_promise() -> None:
    """What fails a broken queue is its fault, and not the judge's."""
    assert failures(PlainQueue) == set()


def test_every_promise_is_broken_by_somebody() -> None:
    """No promise is kept only because nothing could break it."""
    broken = {queue_class.breaks for queue_class in BROKEN}

    assert set(TESTS) - broken == set()
    assert {kept.number for kept in list_promises(QueueConformance)} - set(TESTS) == {"Q00"}
