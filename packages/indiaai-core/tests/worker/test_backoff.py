"""How long a task waits after a failed attempt."""

from __future__ import annotations

import pytest

from indiaai_core.worker import Backoff


def longest(low: float, high: float) -> float:
    """Draw the most that may be drawn."""
    assert low == 0
    return high


def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap() -> None:
    """After attempts 1, 2, 3, … up to base, 2 base, 4 base, … seconds, and never more than the cap."""
    backoff = Backoff(base_seconds=2, cap_seconds=30, jitter=longest)

    waits = [backoff.delay_seconds(attempt) for attempt in range(1, 8)]

    assert waits == [2, 4, 8, 16, 30, 30, 30]


def test_the_whole_span_is_drawn_from() -> None:
    """Full jitter: tasks that failed together come back spread over the whole wait."""
    backoff = Backoff(base_seconds=1, cap_seconds=3600)

    waits = [backoff.delay_seconds(5) for _ in range(500)]

    assert all(0 <= wait <= 16 for wait in waits)
    assert min(waits) < 2
    assert max(waits) > 14


def test_a_thousandth_attempt_waits_for_the_cap() -> None:
    """However many attempts there were, the wait can be computed."""
    backoff = Backoff(jitter=longest)

    wait = backoff.delay_seconds(100_000)

    assert wait == 3600


@pytest.mark.parametrize(("base", "cap"), [(-1, 1), (2, 1), (0, 1e9), (float("nan"), 1)])
def test_times_out_of_their_limits_are_refused(base: float, cap: float) -> None:
    """A backoff that could not work is refused when it is made, with the values at fault."""
    with pytest.raises(ValueError, match="expected 0 <= base <= cap"):
        Backoff(base_seconds=base, cap_seconds=cap)
