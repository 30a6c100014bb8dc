"""How many tasks are leased ahead of need."""

from __future__ import annotations

import pytest

from indiaai_core.worker.pace import MOST_AHEAD, Pace


@pytest.mark.parametrize(
    ("worked", "seconds", "ahead"),
    [
        (0, 0.4, 0),
        (7, 0.4, 0),
        (8, 0.4, 1),
        (80, 0.4, 10),
        (10, 0.6, 0),
        (1, 0.001, 0),
        (100, 0.001, 50),
        (1_000_000, 0.4, MOST_AHEAD),
    ],
)
def test_what_is_leased_ahead_is_a_twentieth_of_a_second_s_work(worked: int, seconds: float, ahead: int) -> None:
    """Slow handlers have nothing leased ahead, fast ones 50 ms of work, and the fastest some hundreds of tasks."""
    times = iter([0.0, seconds])
    pace = Pace(lambda: next(times))

    pace.worked += worked

    assert pace.ahead() == ahead


def test_a_worker_that_becomes_slow_leases_less_ahead() -> None:
    """What was worked counts until a window without any has passed."""
    times = iter([0.0, 0.5, 0.9, 1.1, 1.6])
    pace = Pace(lambda: next(times))

    pace.worked = 400
    seen = [pace.ahead() for _ in range(4)]

    assert seen == [40, 22, 0, 0]


def test_an_idle_time_says_nothing_about_the_pace() -> None:
    """After a quiet hour a worker is as fast as it shows itself, neither as it was nor as the hour was."""
    times = iter([0.0, 3600.0, 3600.0, 3600.2])
    pace = Pace(lambda: next(times))

    pace.worked = 1000
    pace.restart()
    at_first = pace.ahead()
    pace.worked = 200

    assert (at_first, pace.ahead()) == (0, 50)
