"""`indiaai check` on a bucket: each fault of it is found, one at a time, and named with what mends it."""

from __future__ import annotations

import json
import socket
import time
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from indiaai_core.cli.app import build_app
from making import ACCESS_KEY_ID, SECRET, ServiceMaker
from r2 import Answer, Fault, R2Server, refusal
from r2.signatures import Token


@pytest.fixture(params=["lean", "boto3"])
def variables(request: pytest.FixtureRequest, server: R2Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Select the server's bucket, and nothing else that is installed beside it."""
    monkeypatch.chdir(tmp_path)
    for name in ("QUEUE_TYPE", "DATABASE_TYPE", "INDIAAI_STRICT"):
        monkeypatch.delenv(name, raising=False)
    chosen = {
        "STORAGE_TYPE": "r2",
        "R2_ENDPOINT_URL": server.endpoint,
        "R2_BUCKET_NAME": "bucket",
        "R2_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "R2_SECRET_ACCESS_KEY": SECRET,
        "R2_DATA_PLANE": request.param,
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)


def check() -> list[dict[str, Any]]:
    """Run the checks, and return what they found."""
    result = CliRunner().invoke(build_app(), ["check", "--json"])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert SECRET not in result.output
    return list(json.loads(result.stdout)["checks"])


def failed() -> dict[str, Any]:
    """Run the checks, of which that of the bucket alone fails, and return it."""
    (result,) = [one for one in check() if not one["is_ok"]]
    assert result["name"] == "storage"
    return result


@pytest.mark.usefixtures("variables")
def test_a_healthy_bucket_alarms_nobody(server: R2Server) -> None:
    """Every right is tried, nothing is left, and nothing is said but that it is well."""
    found = check()

    assert [one["name"] for one in found if not one["is_ok"] or one["is_caveat"]] == []
    assert server.objects == {}
    assert {"PUT", "GET", "DELETE"} <= set(server.methods())


@pytest.mark.usefixtures("variables")
def test_a_wrong_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An access key id that the store does not know."""
    monkeypatch.setenv("R2_ACCESS_KEY_ID", "f" * 32)

    found = failed()

    assert "R2_ACCESS_KEY_ID" in found["detail"]
    assert found["remedy"].startswith("make a token in the dashboard")


@pytest.mark.usefixtures("variables")
def test_a_wrong_secret_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of another token, which is shown nowhere."""
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", SECRET[::-1])

    found = failed()

    assert "R2_SECRET_ACCESS_KEY" in found["detail"]
    assert found["remedy"].startswith("set both from one token")
    assert SECRET[::-1] not in json.dumps(found)


@pytest.mark.usefixtures("variables")
def test_a_bucket_that_is_not_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that makes it is the remedy."""
    monkeypatch.setenv("R2_BUCKET_NAME", "uploads")

    found = failed()

    assert "NoSuchBucket" in found["detail"]
    assert "npx wrangler r2 bucket create uploads" in found["remedy"]


@pytest.mark.usefixtures("variables")
def test_a_host_that_is_not_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens: the address and the variables that say it are named."""
    monkeypatch.setenv("R2_ENDPOINT_URL", "http://127.0.0.1:9")

    found = failed()

    assert "http://127.0.0.1:9 did not answer" in found["detail"]
    assert "see that http://127.0.0.1:9/bucket runs" in found["remedy"]
    assert "R2_ENDPOINT_URL" in found["remedy"]


@pytest.mark.usefixtures("variables")
def test_a_store_that_takes_connections_and_says_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up in time, and what is still being waited for does not hold up the end."""
    left: list[int] = []
    monkeypatch.setattr("indiaai_core.cli.check.leave", left.append)
    monkeypatch.setattr("indiaai_core.cli.check.PROBE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("R2_READ_TIMEOUT_SECONDS", "5")
    started = time.monotonic()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("R2_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = failed()

    assert "no answer within 0.5 s" in found["detail"]
    assert time.monotonic() - started < 20


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ({"may_write": False}, "may read and list, and not write"),
        ({"may_list": False}, "may write, read and delete, and not list"),
    ],
)
def test_a_right_that_the_token_lacks_is_found(server: R2Server, rights: dict[str, bool], said: str) -> None:
    """What it may and may not is said, and what to give it."""
    server.add(Token(ACCESS_KEY_ID, SECRET, **rights))  # type: ignore[arg-type] # these are flags

    found = failed()

    assert said in found["detail"]
    assert "Object Read & Write* for the bucket bucket" in found["remedy"]
    assert server.objects == {}


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(
    ("method", "count", "said"),
    [("GET", 2, "may write, list and delete, and not read"), ("DELETE", 1, "may write, read and list, and not delete")],
)
def test_a_right_that_no_token_of_r2_has_apart_is_found(server: R2Server, method: str, count: int, said: str) -> None:
    """Other stores can forbid reading and deleting, each by itself."""
    server.faults = [Fault(method, answer=refusal(403, "AccessDenied")) for _ in range(count)]
    if method == "GET":  # the first one is `check`, for which the bucket then answers
        server.faults.append(Fault("HEAD", answer=Answer(200)))

    assert said in failed()["detail"]


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(("minutes", "said"), [(20, "s behind the store's"), (-20, "s ahead of the store's")])
def test_a_clock_that_is_too_far_off_is_found(server: R2Server, minutes: int, said: str) -> None:
    """Beyond 15 minutes the store refuses everything, and it is said by how much the clock is off."""
    server.clock_offset, server.tells_time = timedelta(minutes=minutes), True

    found = failed()

    assert said in found["detail"]
    assert "timedatectl set-ntp true" in found["remedy"]


@pytest.mark.anyio
@pytest.mark.parametrize(("seconds", "said"), [(300, "behind"), (-300, "ahead"), (20, ""), (None, "")])
async def test_a_clock_that_is_off_and_still_good_is_a_caveat(
    server: R2Server, make_service: ServiceMaker, plane: str, seconds: int | None, said: str
) -> None:
    """Links expire too early or too late by as much; a few seconds, or a store that does not say when, are none."""
    server.clock_offset, server.tells_time = timedelta(seconds=seconds or 0), seconds is not None

    found = await make_service(server.endpoint, data_plane=plane).caveats()

    assert [fault.remedy for fault in found] == (["timedatectl set-ntp true"] if said else [])
    assert all(said in fault.found and 270 < int(fault.found.split()[2]) < 330 for fault in found)
