"""Says at the end of pytest's report what a suite did not try, and why; imported by the root of the suites."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

__all__ = ["Untried", "untried_of"]

_PLUGIN_NAME = "indiaai-untried-promises"


class Untried:
    """The promises that were not tried as they are written, by suite and reason; one for a run of pytest."""

    def __init__(self) -> None:
        """Begin with none."""
        self._numbers: dict[tuple[str, str], dict[str, None]] = {}

    def note(self, suite: str, number: str, *, reasons: Iterable[str]) -> None:
        """Remember why a promise was not tried.

        Args:
            suite: The name of the author's class.
            number: The promise's number.
            reasons: None of them: it was tried.
        """
        for reason in reasons:
            self._numbers.setdefault((suite, reason), {})[number] = None

    def lines(self) -> list[str]:
        """Return one line for each suite and reason."""
        return [
            f"{suite}: {reason}: {' '.join(sorted(numbers, key=lambda number: (len(number), number)))}"
            for (suite, reason), numbers in sorted(self._numbers.items())
        ]

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the lines below pytest's own, where there are any."""
        lines = self.lines()
        if lines:
            terminalreporter.section("promises not tried, or held to Unsupported")
        for line in lines:
            terminalreporter.line(line)


def untried_of(config: pytest.Config) -> Untried:
    """Return the one of this run of pytest."""
    found = config.pluginmanager.get_plugin(_PLUGIN_NAME)
    if not isinstance(found, Untried):
        found = Untried()
        config.pluginmanager.register(found, _PLUGIN_NAME)
    return found
