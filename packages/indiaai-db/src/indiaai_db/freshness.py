"""When a task last committed, so that what it reads next is not older; imported by backends with replicas and by the edges."""

from __future__ import annotations

import math
import time
from collections.abc import MutableMapping
from contextvars import ContextVar

__all__ = ["note_commit", "seconds_since_commit", "share_commits"]


class _SharedCommits(dict[int, float]):
    """The commits of a task and of all that it starts."""


_commits: ContextVar[MutableMapping[int, float] | None] = ContextVar("indiaai_db_commits", default=None)


def share_commits() -> None:
    """From now on count what this task, and every task and thread that it starts, commits as committed by each of them.

    For what is one thing to its user, such as a request. Without it a task counts what it committed itself, and what was
    committed by the one that started it, before it did.
    """
    _commits.set(_SharedCommits())


def note_commit(service: object) -> None:
    """Note that a service committed just now."""
    commits = _commits.get()
    if isinstance(commits, _SharedCommits):
        commits[id(service)] = time.monotonic()
    else:
        _commits.set({**(commits or {}), id(service): time.monotonic()})


def seconds_since_commit(service: object) -> float:
    """Return how long ago a service last committed here; infinity if it never did."""
    commits = _commits.get()
    return math.inf if commits is None or id(service) not in commits else time.monotonic() - commits[id(service)]
