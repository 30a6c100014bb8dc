"""How many tasks are leased ahead of need."""

from __future__ import annotations

import pytest

from indiaai_core.worker.pace import MOST_AHEAD, Pace


@pytest.mark.parametrize(
    ("worked", "ahead"),
    [(0, 0), (19, 0), (20, 1), (200, 10), (1_000_000, MOST_AHEAD)],
)
def test_what_is_leased_ahead_is_a_twentieth_of_a_second_s_work(worked: int, ahead: int) -> None:
    """Slow handlers have nothing leased ahead, fast ones 50 ms of work, and the fastest some hundreds of tasks."""
    now = 0.0
    pace = Pace(lambda: now)

    pace.worked += worked
    now = 0.4

    assert pace.ahead() == ahead


def test_a_worker_that_becomes_slow_leases_less_ahead() -> None:
    """What was worked counts for a second; then only what is worked now does."""
    times = iter([0.0, 0.5, 0.9, 1.0, 1.5])
    pace = Pace(lambda: next(times))

    pace.worked = 400
    seen = [pace.ahead() for _ in range(4)]

    assert seen == [20, 20, 0, 0]


def test_an_idle_worker_has_no_pace() -> None:
    """Tasks that came over a long time are not taken for many at once."""
    now = 0.0
    pace = Pace(lambda: now)

    pace.worked = 1000
    now = 600.0

    assert pace.ahead() == 0
