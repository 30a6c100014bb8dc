"""Which variables a person would set for a named instance, in what its backend says; imported by settings and the platform.

A backend writes `REDIS_URL`. Where that came from `ARCHIVE_REDIS_URL`, or would, its errors are to say that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault, IndiaAIError

__all__ = ["ErrorT", "Names"]

ErrorT = TypeVar("ErrorT", bound=IndiaAIError)


class Names:
    """What to write for each of some variables; it never changes, and for the main instance changes nothing."""

    def __init__(self, variables: Iterable[str] = (), environment: Environment | None = None) -> None:
        """Find out what a person would set.

        Args:
            variables: The bare names.
            environment: The variables as the named instance sees them.
        """
        own = environment if environment is not None and environment.instance else None
        self._names = {name: own.named(name) for name in variables} if own else {}

    def in_text(self, text: str) -> str:
        """Return a text with these names in it; one that has them already stays as it is."""
        if not self._names:
            return text
        names = "|".join(map(re.escape, self._names))
        return re.sub(rf"(?<![A-Z0-9_])(?:{names})(?![A-Z0-9_])", lambda found: self._names[found[0]], text)

    def in_fault(self, fault: Fault) -> Fault:
        """Return a fault with these names in it."""
        variable, expected, remedy = map(self.in_text, (fault.variable, fault.expected, fault.remedy))
        return replace(fault, variable=variable, found=self.in_text(fault.found), expected=expected, remedy=remedy)

    def in_error(self, error: ErrorT) -> ErrorT:
        """Put these names into an error, its message and its faults, and return it."""
        if self._names:
            error.args = tuple(self.in_text(it) if isinstance(it, str) else it for it in error.args)
            if isinstance(error, ConfigurationError):
                error.faults = tuple(map(self.in_fault, error.faults))
        return error
