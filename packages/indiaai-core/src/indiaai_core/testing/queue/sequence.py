"""The promise about any sequence of calls, held against the model of a queue."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Clock
from indiaai_core.testing.queue.modelled import ModelledQueue

__all__ = ["Sequence", "SequencePromises"]

_TICKS_OF_A_LEASE = 8
"""The clock goes by eighths of a lease, so that no instant falls beside another by less than the calls may take."""

_nth = st.integers(0, 20)
_worker = st.integers(0, 1)
_LONGEST_TICKS = 20
_ticks = st.sampled_from([0, 1, 3, 8, _LONGEST_TICKS])
_options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(-2, 2),
        "delay": _ticks,
        "max_attempts": st.integers(1, 3),
        "dedupe_key": st.sampled_from("ab"),
    },
)
_status = st.sampled_from(["completed", "failed", "processing"])
_CALLS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "nothing": st.just({}),  # what hypothesis puts in place of a call that has no part in a failure
    "advance": st.fixed_dictionaries({"ticks": st.sampled_from([1, 4, 7, 8, 9, 20])}),
    "enqueue": _options,
    "enqueue_many": st.fixed_dictionaries({"batch": st.lists(_options, max_size=4)}),
    "dequeue": st.fixed_dictionaries({"worker": _worker}),
    "dequeue_many": st.fixed_dictionaries({"limit": st.integers(1, 4), "worker": _worker}),
    "update": st.fixed_dictionaries({"nth": _nth, "status": _status, "worker": _worker}),
    "update_by_id": st.fixed_dictionaries({"nth": _nth, "status": _status, "worker": _worker}),
    "retry": st.fixed_dictionaries({"nth": _nth, "delay": _ticks, "worker": _worker}),
    "release": st.fixed_dictionaries({"nth": _nth, "worker": _worker}),
    "cancel": st.fixed_dictionaries({"nth": _nth}),
    "requeue": st.fixed_dictionaries({"nth": _nth}),
    "purge": st.just({}),
    "compare": st.just({}),
}
_OFTEN = ["enqueue", "dequeue", "update", "advance"]
_NEEDS = {"retry": "retry", "cancel": "cancel", "requeue": "dead_letters", "purge": "purge"}
_OPTION_NEEDS = {"priority": "priority", "dedupe_key": "dedupe", "delay": "delay"}

Call = tuple[str, dict[str, Any]]


def _call(name: str) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), _CALLS[name])


class SequencePromises:
    """What no list of cases covers."""

    @promise(
        "Q00", "Any sequence of calls by several workers, while time passes, gives what the plainest model of a queue gives."
    )
    # One fault at a time: to make each of many short takes long, where a new backend fails in every call.
    @settings(
        max_examples=50,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(calls=st.lists(st.sampled_from([*_CALLS, *_OFTEN]).flatmap(_call), min_size=20, max_size=50))
    async def test_any_sequence_follows_the_model(
        self, service: QueueService, workers: list[QueueService], clock: Clock | None, calls: list[Call]
    ) -> None:
        sequence = Sequence(workers, clock, has_order="order" in getattr(self, "traits", ()))

        try:
            for name, options in calls:
                if sequence.is_late:
                    return
                await sequence.make(name, options)
            await sequence.queue.compare()
        finally:
            await sequence.empty()


class Sequence:
    """One sequence of calls, of which those are made that the backend declares."""

    def __init__(self, workers: list[QueueService], clock: Clock | None, *, has_order: bool) -> None:
        """Start at the time 0."""
        self._service, self._clock = workers[0], clock
        self._ticks = 0
        self._tick_seconds = workers[0].lease_seconds / _TICKS_OF_A_LEASE
        self._started = time.monotonic()
        # What waits when a sequence ends would come to the next one.
        self._can_end_delays = clock is not None or "purge" in workers[0].capabilities
        self.queue = ModelledQueue(
            workers[0], others=workers[1:], now=lambda: self._ticks * self._tick_seconds, has_order=has_order
        )

    @property
    def is_late(self) -> bool:
        """Whether the calls took so long that the store's clock, which runs on, may have left the model's behind."""
        return time.monotonic() - self._started > self._tick_seconds / 2

    async def make(self, name: str, options: dict[str, Any]) -> None:
        """Make a call, where the backend can."""
        if name == "nothing":
            return
        if name == "advance":
            await self._advance(options["ticks"])
        elif _NEEDS.get(name, "") in {"", *self._service.capabilities}:
            await getattr(self.queue, name)(**self._within(options))

    async def empty(self) -> None:
        """Leave nothing that would be delivered to the next sequence: what waits for its time is due now."""
        await self._advance(_LONGEST_TICKS)
        await self.queue.empty()

    async def _advance(self, ticks: int) -> None:
        if self._clock is not None:
            self._ticks += ticks
            await self._clock.advance(ticks * self._tick_seconds)

    def _within(self, options: dict[str, Any]) -> dict[str, Any]:
        """Leave out what the backend does not declare, and make seconds of ticks."""
        declared = {k: v for k, v in options.items() if _OPTION_NEEDS.get(k, "") in {"", *self._service.capabilities}}
        if "delay" in declared:
            declared["delay"] *= self._tick_seconds if self._can_end_delays else 0
        if "batch" in declared:
            declared["batch"] = [self._within(one) for one in declared["batch"]]
        return declared
