"""Calls that are made at the same time, as one: who is with whom, and who gets what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from indiaai_core import BackendUnavailable
from indiaai_queue_redis.batch import BATCH, BATCH_BYTES, Batcher, Receiver

pytestmark = pytest.mark.anyio


class Carrier:
    """Notes the calls that begin, and lets the test end them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.calls: list[tuple[list[Any], Receiver]] = []

    def begin(self, loads: Sequence[Any], receive: Receiver) -> None:
        """Note a call."""
        self.calls.append((list(loads), receive))

    @property
    def loads(self) -> list[list[Any]]:
        """What each call was given."""
        return [loads for loads, _ in self.calls]

    def end(self, number: int) -> None:
        """Give everybody of a call what he brought."""
        loads, receive = self.calls[number]
        receive(loads)


async def busy(carrier: Carrier, batcher: Batcher) -> None:
    """Let a call of two go and end, so that the next does not go alone."""
    calls = [batcher.join(n) for n in ("lone", "first", "second")]
    while carrier.calls and not all(call.done() for call in calls):
        for number in range(len(carrier.calls)):
            if not calls[min(number, 2)].done():
                carrier.end(number)
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    carrier.calls.clear()


async def test_lone_call_goes_at_once() -> None:
    """A call that meets no other waits for nothing."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)

    call = batcher.join("a")

    assert carrier.loads == [["a"]]
    carrier.end(0)
    assert await call == "a"


async def test_calls_under_way_gather_the_next() -> None:
    """What is asked for while a call is under way goes out together when that one is answered."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    calls = [batcher.join(n) for n in range(10)]
    alone = carrier.loads

    carrier.end(0)
    await asyncio.sleep(0)

    assert (alone, carrier.loads) == ([[0]], [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
    carrier.end(1)
    assert await asyncio.gather(*calls) == list(range(10))


async def test_calls_of_one_turn_go_together_after_others_did() -> None:
    """Where calls come in bundles, the whole bundle of one turn of the loop is one call."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    await busy(carrier, batcher)

    calls = [batcher.join(n) for n in range(10)]
    await asyncio.sleep(0)

    assert carrier.loads == [list(range(10))]
    carrier.end(0)
    assert await asyncio.gather(*calls) == list(range(10))


async def test_refusal_of_one_fails_no_other() -> None:
    """An outcome that is an error is raised to the one it belongs to."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    await busy(carrier, batcher)
    calls = [batcher.join(n) for n in range(3)]
    await asyncio.sleep(0)

    carrier.calls[0][1]([0, ValueError("mine"), 2])

    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcomes[0], str(outcomes[1]), outcomes[2]] == [0, "mine", 2]


async def test_failure_of_the_call_is_raised_to_each_by_itself() -> None:
    """An error that stands for all is raised to all: the same words and the same cause, but not the same object."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    await busy(carrier, batcher)
    calls = [batcher.join(n) for n in range(3)]
    await asyncio.sleep(0)
    failure, cause = BackendUnavailable("gone"), OSError("line")
    failure.__cause__ = cause

    carrier.calls[0][1](failure)

    errors: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [(type(error), str(error), error.__cause__) for error in errors] == [(BackendUnavailable, "gone", cause)] * 3
    assert len({id(error) for error in errors}) == 3


async def test_call_that_cannot_begin_is_raised() -> None:
    """What goes wrong before anything is sent is raised to those who asked."""

    def begin(loads: Sequence[Any], receive: Receiver) -> None:
        raise BackendUnavailable("closed")

    batcher = Batcher(begin)

    with pytest.raises(BackendUnavailable, match="closed"):
        await batcher.join("a")
    with pytest.raises(BackendUnavailable, match="closed"):
        await batcher.join("b")


async def test_cancelled_before_it_goes_is_not_sent() -> None:
    """Who is cancelled while he waits for the next call takes no part in it."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    calls = [batcher.join(n) for n in range(4)]

    calls[2].cancel()
    carrier.end(0)
    await asyncio.sleep(0)

    assert carrier.loads == [[0], [1, 3]]
    carrier.end(1)
    assert (await calls[1], await calls[3]) == (1, 3)


async def test_cancelled_under_way_takes_nothing_from_the_others() -> None:
    """Who is cancelled while the call is under way leaves the others' outcomes as they are."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    await busy(carrier, batcher)
    calls = [batcher.join(n) for n in range(3)]
    await asyncio.sleep(0)

    calls[0].cancel()
    carrier.end(0)

    assert (await calls[1], await calls[2]) == (1, 2)
    assert calls[0].cancelled()


async def test_those_who_wait_can_be_sent_off() -> None:
    """While a call is in trouble those behind it need not wait for its end."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    calls = [batcher.join(n) for n in range(3)]

    batcher.depart()

    assert carrier.loads == [[0], [1, 2]]
    carrier.end(1)
    carrier.end(0)
    assert await asyncio.gather(*calls) == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "size", "most"), [(2 * BATCH + 5, 10, BATCH), (10, BATCH_BYTES // 4, 4), (3, 2 * BATCH_BYTES, 1)]
)
async def test_call_has_a_bound(count: int, size: int, most: int) -> None:
    """A call takes so many tasks and so many bytes; what is larger by itself goes by itself; all come through in order."""
    carrier = Carrier()
    batcher = Batcher(carrier.begin)
    calls = [batcher.join(n, size=size) for n in range(count)]

    number = 0
    while not all(call.done() for call in calls):
        carrier.end(number)
        number += 1
        await asyncio.sleep(0)

    assert max(map(len, carrier.loads)) == most
    assert await asyncio.gather(*calls) == list(range(count))
