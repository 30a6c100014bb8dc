"""What goes wrong between this process and a server, before it is said in the interface's words; imported by all that talks.

Errors of our own, for redis-py's cannot be had without the whole of it: 24 MiB and 0.3 s, of which nothing else is needed here.

    Trouble
    ├── Refusal        the server's answer is an error, in its own words: the code comes first
    └── Breakdown      there is no connection, or it was lost
        └── Silence    no answer came in time
"""

from __future__ import annotations

__all__ = ["Breakdown", "Refusal", "Silence", "Trouble"]


class Trouble(Exception):
    """What a call to a server came to."""


class Refusal(Trouble):
    """The server answers with an error."""


class Breakdown(Trouble):
    """There is no connection, or it was lost; the server may have run what was under way or not."""


class Silence(Breakdown):
    """No answer came in time."""
