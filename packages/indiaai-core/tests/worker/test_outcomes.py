"""What a handler may raise, and how failures are written down."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from indiaai_core import InvalidTask, Reject, Retry
from indiaai_core.worker.outcomes import describe, format_traceback


def test_a_retry_takes_seconds_or_a_timedelta() -> None:
    """`Retry(after=…)` means the same as a number of seconds and as a `timedelta`."""
    retries = [Retry(90), Retry(timedelta(minutes=1, seconds=30)), Retry()]

    delays = [retry.after for retry in retries]

    assert delays == [90, 90, None]


@pytest.mark.parametrize("after", [-1, 367 * 24 * 3600, float("nan"), timedelta(days=-1)])
def test_a_retry_out_of_its_limits_is_refused(after: float | timedelta) -> None:
    """A delay that no queue takes is refused where it is written, not when it is settled."""
    with pytest.raises(InvalidTask, match="expected 0 to"):
        Retry(after)


def test_outcomes_cross_a_process_boundary_whole() -> None:
    """`Retry` and `Reject` can be raised in a process pool."""
    retry, reject = pickle.loads(pickle.dumps((Retry(5, "busy"), Reject("no"))))  # noqa: S301 - our own bytes

    texts = (retry.after, str(retry), str(reject), str(Retry()))

    assert texts == (5, "busy", "no", "The handler asked for a retry.")


def test_a_long_message_is_shortened() -> None:
    """An exception that quotes a document does not carry it into the queue."""
    text = describe(ValueError("x" * 100_000))

    assert len(text) == 2000
    assert text.startswith("ValueError: xxx")
    assert text.endswith("...")


def test_an_exception_without_a_message_is_named() -> None:
    """An empty message leaves the type."""
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_message_that_is_not_utf_8_can_be_written() -> None:
    """A lone surrogate, as in a file name of unknown encoding, is escaped rather than refused later."""
    assert describe(ValueError("caf\udce9")) == "ValueError: caf\\udce9"


def test_a_long_traceback_keeps_its_end() -> None:
    """What is cut from a traceback is its beginning: it happened at its end."""

    def fall() -> None:
        raise ValueError("y" * 50_000 + "the end")

    with pytest.raises(ValueError, match="the end") as caught:
        fall()

    text = format_traceback(caught.value)
    assert len(text) == 16_000
    assert text.startswith("...")
    assert text.endswith("the end\n")
