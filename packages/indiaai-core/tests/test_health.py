"""Health: side by side, bounded, and each service's own."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, health
from indiaai_core.health import check_all, check_at_start, require_healthy

pytestmark = pytest.mark.anyio


class Checked:
    """A service whose check takes a while and then raises, or not."""

    def __init__(self, seconds: float = 0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error

    async def check(self) -> None:
        """Take the time, then answer."""
        await anyio.sleep(self.seconds)
        if self.error:
            raise self.error


async def test_checks_run_side_by_side() -> None:
    """All services are being checked at one time: each of these answers when the last of them has been asked."""
    asked: list[str] = []
    all_asked = anyio.Event()

    class Waiting(Checked):
        async def check(self) -> None:
            asked.append("one more")
            if len(asked) == 10:
                all_asked.set()
            await all_asked.wait()
            await super().check()

    found = await check_all({str(number): Waiting(0.1) for number in range(10)})

    assert list(found) == [str(number) for number in range(10)]
    assert all(result.is_healthy and result.seconds >= 0.09 for result in found.values())


async def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not answer in time is unhealthy, and the others are not delayed more."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.05)

    found = await check_all({"slow": Checked(60), "quick": Checked()})

    assert found["quick"].is_healthy
    assert isinstance(found["slow"].error, BackendUnavailable)
    assert "slow did not answer within 0.05 s" in str(found["slow"].error)


async def test_a_service_that_was_late_at_start_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first check may have had a library to import; a service that stays late stays unhealthy."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.2)

    class Cold(Checked):
        async def check(self) -> None:
            seconds, self.seconds = self.seconds, 0
            await anyio.sleep(seconds)

    found = await check_at_start({"cold": Cold(60), "hung": Checked(60), "warm": Checked()})

    assert {name: result.is_healthy for name, result in found.items()} == {"cold": True, "hung": False, "warm": True}
    assert found["hung"].is_late


async def test_whatever_a_check_raises_is_kept() -> None:
    """Our errors are kept as they are; a stranger's exception becomes one of ours with its cause."""
    boom = ValueError("boom")

    found = await check_all({"ours": Checked(error=ConfigurationError("bad")), "theirs": Checked(error=boom)})

    assert isinstance(found["ours"].error, ConfigurationError)
    assert isinstance(found["theirs"].error, BackendUnavailable)
    assert found["theirs"].error.__cause__ is boom


@pytest.mark.parametrize(
    ("errors", "expected", "message"),
    [
        ({"a": BackendUnavailable("x gone")}, BackendUnavailable, "x gone"),
        (
            {"a": BackendUnavailable("x"), "b": BackendUnavailable("y")},
            BackendUnavailable,
            "2 services cannot serve:\n  a: x\n  b: y",
        ),
        ({"a": BackendUnavailable("x"), "b": ConfigurationError("y")}, ConfigurationError, "2 services cannot serve"),
    ],
)
async def test_one_error_names_every_service_that_cannot_serve(errors: Any, expected: type[Exception], message: str) -> None:
    """What start-up raises says all that is wrong."""
    found = await check_all({"fine": Checked(), **{name: Checked(error=error) for name, error in errors.items()}})

    with pytest.raises(expected, match=message):
        require_healthy(found)


async def test_health_is_no_error() -> None:
    """If all can serve nothing is raised."""
    require_healthy(await check_all({"fine": Checked()}))
