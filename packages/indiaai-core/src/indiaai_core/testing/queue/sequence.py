"""The promise about any sequence of calls, held against the model of a queue."""

from __future__ import annotations

from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.model import ModelledQueue

__all__ = ["SequencePromises"]

_NTH = st.integers(0, 20)
_CALLS = {
    "enqueue": st.fixed_dictionaries(
        {},
        optional={
            "priority": st.integers(-2, 2),
            "max_attempts": st.integers(1, 3),
            "dedupe_key": st.sampled_from("ab"),
        },
    ),
    "dequeue": st.just({}),
    "update": st.fixed_dictionaries({"nth": _NTH, "status": st.sampled_from(["completed", "failed", "processing"])}),
    "retry": st.fixed_dictionaries({"nth": _NTH}),
    "release": st.fixed_dictionaries({"nth": _NTH}),
    "cancel": st.fixed_dictionaries({"nth": _NTH}),
    "requeue": st.fixed_dictionaries({"nth": _NTH}),
    "purge": st.just({}),
}
_NEEDS = {"retry": "retry", "cancel": "cancel", "requeue": "dead_letters", "purge": "purge"}
_OPTION_NEEDS = {"priority": "priority", "dedupe_key": "dedupe"}

Call = tuple[str, dict[str, Any]]


def _call(name: str) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), _CALLS[name])


class SequencePromises:
    """What no list of cases covers."""

    @promise("Q00", "Any sequence of calls gives what the plainest model of a queue gives.")
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(calls=st.lists(st.sampled_from(sorted(_CALLS)).flatmap(_call), max_size=30))
    async def test_any_sequence_follows_the_model(self, service: QueueService, calls: list[Call]) -> None:
        queue = ModelledQueue(service)
        started = anyio.current_time()

        try:
            for name, options in calls:
                if _NEEDS.get(name, "") in {"", *service.capabilities}:
                    await getattr(queue, name)(**_within(options, service))
                if anyio.current_time() - started > service.lease_seconds / 2:
                    return  # leases would run out now, and the model's clock stands still
            await queue.compare()
        finally:
            await queue.empty()


def _within(options: dict[str, Any], service: QueueService) -> dict[str, Any]:
    return {name: value for name, value in options.items() if _OPTION_NEEDS.get(name, "") in {"", *service.capabilities}}
