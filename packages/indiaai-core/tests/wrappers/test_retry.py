"""The wrapper `retry`: what may be repeated is, what may not be is not."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, InvalidSettings
from indiaai_core.discovery import find_layer
from indiaai_core.wrappers.retry import RetrySettings, retry
from wrapper_fakes import LAYER, Echo, unavailable, wrap

pytestmark = pytest.mark.anyio

QUICK: dict[str, object] = {"ECHO_RETRY_SECONDS": 0.001}


async def test_what_was_unavailable_is_called_again(echo: Echo) -> None:
    """An operation that fails twice and then works is a success to the caller."""
    echo.failures = unavailable(2)

    assert await wrap(retry, echo, QUICK).say("hello") == "hello"

    assert echo.calls == ["say"] * 3


async def test_it_gives_up_after_the_attempts_with_the_last_error(echo: Echo) -> None:
    """After as many attempts as its setting says, the backend's own error comes out."""
    echo.failures = [*unavailable(1), BackendUnavailable("still busy"), *unavailable(1)]

    with pytest.raises(BackendUnavailable, match="still busy"):
        await wrap(retry, echo, {**QUICK, "ECHO_RETRY_ATTEMPTS": 2}).say("hello")

    assert echo.calls == ["say"] * 2


async def test_what_may_not_be_repeated_is_called_once(echo: Echo) -> None:
    """The layer decides by the operation's arguments, whether they were given by position or by name."""
    service = wrap(retry, echo, QUICK)
    echo.failures = unavailable(2)

    with pytest.raises(BackendUnavailable):
        await service.say("once")
    with pytest.raises(BackendUnavailable):
        await service.say(text="once")

    assert echo.calls == ["say"] * 2


async def test_another_error_is_not_retried(echo: Echo) -> None:
    """Only what is worth a retry by its class is called again."""
    echo.failures = [ValueError("wrong")]

    with pytest.raises(ValueError, match="wrong"):
        await wrap(retry, echo, QUICK).say("hello")

    assert echo.calls == ["say"]


async def test_a_stream_begins_again_only_before_its_first_item(echo: Echo) -> None:
    """Nothing is ever given twice."""
    service = wrap(retry, echo, QUICK)
    echo.failures = unavailable(1)
    assert [number async for number in service.count()] == [0, 1, 2]

    async with aclosing(service.count()) as numbers:
        assert await anext(numbers) == 0
        echo.failures = unavailable(1)
        with pytest.raises(BackendUnavailable):
            await anext(numbers)


async def test_a_layer_that_does_not_say_is_refused_at_start(echo: Echo) -> None:
    """Nobody guesses what may be repeated."""
    with pytest.raises(ConfigurationError, match="ECHO_WRAPPERS names the wrapper 'retry'"):
        wrap(retry, echo, layer=replace(LAYER, is_repeatable=None))


async def test_a_wrong_setting_names_its_variable(echo: Echo) -> None:
    """Settings of wrappers are checked as those of backends are."""
    with pytest.raises(InvalidSettings, match="ECHO_RETRY_ATTEMPTS"):
        wrap(retry, echo, {"ECHO_RETRY_ATTEMPTS": 0})


def test_pauses_grow_spread_and_heed_the_backend() -> None:
    """Each pause is up to twice the last, at least half of that, and never longer than the longest."""
    settings = RetrySettings(seconds=1, max_seconds=3)

    assert 0.5 <= settings.pause(1, None) <= 1
    assert 1.5 <= settings.pause(9, None) <= 3
    assert settings.pause(1, 2.5) == 2.5
    assert settings.pause(1, 60) == 3


@pytest.mark.parametrize(
    ("layer", "operation", "arguments", "expected"),
    [
        ("storage", "download", {}, True),
        ("storage", "upload", {"file_data": b"x", "if_absent": False}, True),
        ("storage", "upload", {"file_data": b"x", "if_absent": True}, False),
        ("storage", "upload", {"file_data": object(), "if_absent": False}, False),
        ("queue", "enqueue", {"dedupe_key": None}, False),
        ("queue", "enqueue", {"dedupe_key": "bill-7"}, True),
        ("queue", "dequeue", {}, True),
        ("queue", "counts", {}, True),
        ("queue", "update_status", {}, False),
        ("queue", "retry", {}, False),
    ],
)
def test_the_core_s_layers_say_what_may_be_repeated(
    layer: str, operation: str, arguments: dict[str, Any], *, expected: bool
) -> None:
    """What a second call would spoil is not repeated: half-read streams, conditions, tasks that nobody could tell apart."""
    is_repeatable = find_layer(layer).is_repeatable
    assert is_repeatable is not None

    assert is_repeatable(operation, arguments) is expected
