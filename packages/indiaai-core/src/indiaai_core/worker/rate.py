"""How often a handler may begin, as it is registered; imported by the handlers and by what keeps to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["RateLimit"]

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_FORM = re.compile(r"([1-9][0-9]{0,8})/([smh])")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often a handler may begin, evenly spread.

    Attributes:
        interval_seconds: The time from one begin to the next.
    """

    interval_seconds: float

    @classmethod
    def of(cls, text: str) -> RateLimit:
        """Read `10/s`, `600/m` or `1000/h`.

        Raises:
            ValueError: It is none of these.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"rate_limit={text!r}: expected a number of tasks per s, m or h, such as '10/s' or '600/m'.")
        return cls(_SECONDS[found[2]] / int(found[1]))
