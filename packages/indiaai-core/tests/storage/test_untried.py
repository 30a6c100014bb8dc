"""What a suite did not try stands at the end of pytest's report."""

from __future__ import annotations

from typing import Any, cast

import pytest

from indiaai_core.testing.untried import Untried

pytest_plugins = ("pytester",)

SUITE = """
from collections.abc import Callable

import pytest
from indiaai_core.errors import Unsupported
from indiaai_core.testing import Conformance, promise


class Topic:
    @promise("T01", "It walks.")
    async def test_it_walks(self, service): ...

    @promise("T02", "It flies.", needs="wings")
    async def test_it_flies(self, service):
        raise Unsupported("Bird", "wings")

    @promise("T10", "It flies far.", needs="wings")
    async def test_it_flies_far(self, service):
        raise Unsupported("Bird", "wings")

    @promise("T03", "It dives deep.", where="gills")
    async def test_it_dives(self, service):
        raise AssertionError("there was nothing to try")

    @promise("T04", "Two walk.")
    async def test_two_walk(self, service, second_service): ...


class TestBird(Topic, Conformance):
    optional_fixtures = ("second_service",)

    @pytest.fixture
    def service(self):
        class Bird:
            capabilities = frozenset(DECLARED)

        return Bird()

    @pytest.fixture
    def second_service(self, service):
        return service if STANDS_IN else object()

    def test_of_its_own(self, service): ...
"""


def test_what_was_not_tried_is_listed(pytester: pytest.Pytester) -> None:
    """Each line names the suite, the reason and the promises in the order of their numbers."""
    pytester.makepyfile(SUITE.replace("DECLARED", "()").replace("STANDS_IN", "True"))

    result = pytester.runpytest_subprocess("-p", "no:randomly")

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "*promises not tried, or held to Unsupported*",
            "TestBird: gills is not declared: T03",
            "TestBird: the fixture second_service is not given: T04",
            "TestBird: wings is not declared: T02 T10",
        ]
    )


def test_nothing_is_said_where_all_was_tried(pytester: pytest.Pytester) -> None:
    """A suite that tried everything adds nothing to the report."""
    without_wings = SUITE.replace('raise Unsupported("Bird", "wings")', "...").replace("raise AssertionError", "str")
    pytester.makepyfile(without_wings.replace("DECLARED", "('wings', 'gills')").replace("STANDS_IN", "False"))

    result = pytester.runpytest_subprocess("-p", "no:randomly")

    result.assert_outcomes(passed=6)
    result.stdout.no_fnmatch_line("*not tried*")


class Report:
    """Takes what pytest's terminal would write."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        """Write a title."""
        self.lines.append(title)

    def line(self, text: str) -> None:
        """Write a line."""
        self.lines.append(text)


def test_lines_are_in_order_and_name_a_promise_once() -> None:
    """By suite and reason, and within a line by number; a promise with parameters is one."""
    untried, report = Untried(), cast("Any", Report())

    for number in ("S100", "S15", "S15"):
        untried.note("TestB", number, reasons=["stat is not declared"])
    untried.note("TestA", "S01", reasons=["list is not declared", "a reason"])
    untried.pytest_terminal_summary(report)

    assert report.lines == [
        "promises not tried, or held to Unsupported",
        "TestA: a reason: S01",
        "TestA: list is not declared: S01",
        "TestB: stat is not declared: S15 S100",
    ]


def test_no_section_is_written_for_nothing() -> None:
    """Where all was tried there is nothing to say."""
    untried, report = Untried(), cast("Any", Report())

    untried.note("TestA", "S01", reasons=[])
    untried.pytest_terminal_summary(report)

    assert report.lines == []
