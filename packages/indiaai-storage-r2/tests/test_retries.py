"""When a failed request is made again, and how often at most."""

from __future__ import annotations

import time

import pytest

from indiaai_core import BackendUnavailable
from indiaai_storage_r2.retries import RetryBudget, RetryPolicy

pytestmark = pytest.mark.anyio


async def test_second_attempts_are_bounded_over_all_calls() -> None:
    """What is over the budget waits for its turn, so that a store that comes back is not run over."""
    budget = RetryBudget(at_once=3, per_second=10)

    waits = [budget.reserve() for _ in range(5)]

    assert waits[:3] == [0, 0, 0]
    assert waits[3] == pytest.approx(0.1, abs=0.05)
    assert waits[4] == pytest.approx(0.2, abs=0.05)


async def test_a_turn_that_comes_after_the_deadline_is_no_attempt() -> None:
    """A call ends with the error it has when its next attempt would begin too late."""
    policy = RetryPolicy(deadline_seconds=5, budget=RetryBudget(at_once=1, per_second=0.1))
    attempts = 0
    started = time.monotonic()

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise BackendUnavailable("It does not answer.")

    with pytest.raises(BackendUnavailable):
        await policy.run(attempt)

    assert attempts == 2
    assert time.monotonic() - started < 5
