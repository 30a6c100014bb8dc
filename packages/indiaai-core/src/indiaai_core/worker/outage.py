"""Says once that the queue does not answer, and once that it answers again; imported by whatever of the worker calls it."""

from __future__ import annotations

import logging
import time

from indiaai_core.errors import BackendUnavailable

__all__ = ["Outage"]

logger = logging.getLogger("indiaai.worker")

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0


class Outage:
    """The time in which a queue does not answer, as one worker's run sees it: one line in the log at each end."""

    def __init__(self, name: str | None = None) -> None:
        """Begin with a queue that answers.

        Args:
            name: The named instance it is; None for the main one.
        """
        self._who = "The queue" if name is None else f"The queue {name!r}"
        self._since: float | None = None

    def began(self, error: Exception) -> None:
        """Note that a call failed; only the first is logged."""
        if self._since is not None:
            return
        self._since = time.monotonic()
        if isinstance(error, BackendUnavailable):
            logger.warning("%s does not answer, and is asked again until it does: %s", self._who, error)
        else:
            logger.error("%s fails in a way it should not, and is asked again until it does not", self._who, exc_info=error)

    def ended(self) -> None:
        """Note that a call was answered."""
        if self._since is not None:
            logger.warning("%s answers again, after %.1f s", self._who, time.monotonic() - self._since)
            self._since = None

    @staticmethod
    def wait_seconds(failures: int, error: Exception) -> float:
        """Return how long to wait after so many failures in a row, or what the backend asked for if that is longer.

        Args:
            failures: Failures in a row, at least 1.
            error: The last one.
        """
        wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16))
        return max(wait, getattr(error, "retry_after", None) or 0.0)
