"""The wrapper `timeout`: what hangs is given up, and what waits for its caller is not."""

from __future__ import annotations

import anyio
import pytest

from indiaai_core import BackendUnavailable, InvalidSettings
from indiaai_core.wrappers.timeout import timeout
from wrapper_fakes import Echo, wrap

pytestmark = pytest.mark.anyio


async def test_an_operation_that_hangs_is_given_up(echo: Echo) -> None:
    """The caller hears what did not end in how many seconds, and the operation is cancelled."""
    echo.seconds = 60

    with anyio.fail_after(5), pytest.raises(BackendUnavailable, match=r"echo\.say did not end within 0\.05 s"):
        await wrap(timeout, echo, {"ECHO_TIMEOUT_SECONDS": 0.05}).say("hello")


async def test_each_operation_may_have_its_own_time(echo: Echo) -> None:
    """What is known to be slow gets longer than the rest."""
    echo.seconds = 0.05
    service = wrap(timeout, echo, {"ECHO_TIMEOUT_SECONDS": 0.01, "ECHO_TIMEOUT_EACH": '{"say": 5}'})

    assert await service.say("hello") == "hello"
    with pytest.raises(BackendUnavailable):
        await service.wait()


async def test_what_the_caller_waits_for_comes_on_top(echo: Echo) -> None:
    """A call that says how long it is content to wait is not given up before."""
    echo.seconds = 0.1
    service = wrap(timeout, echo, {"ECHO_TIMEOUT_SECONDS": 0.01})

    assert await service.wait(timeout=5) == "came"


async def test_of_a_stream_each_item_has_its_time(echo: Echo) -> None:
    """A long stream is no slow one."""
    echo.seconds = 0.02
    service = wrap(timeout, echo, {"ECHO_TIMEOUT_SECONDS": 0.5})
    assert [number async for number in service.count(40)] == list(range(40))

    echo.seconds = 60
    with anyio.fail_after(5), pytest.raises(BackendUnavailable, match=r"echo\.count"):
        await anext(service.count())


async def test_an_error_of_the_backend_comes_out(echo: Echo) -> None:
    """A timeout that the backend raises is not taken for ours."""
    echo.failures = [TimeoutError("its own")]

    with pytest.raises(TimeoutError, match="its own"):
        await wrap(timeout, echo).say("hello")


async def test_a_wrong_setting_names_its_variable(echo: Echo) -> None:
    """What is no number of seconds is refused at start."""
    with pytest.raises(InvalidSettings, match="ECHO_TIMEOUT_SECONDS"):
        wrap(timeout, echo, {"ECHO_TIMEOUT_SECONDS": "soon"})
