"""What a bad network does to every operation: the acknowledged is there, the failed is not, and nothing hangs or leaks.

The tests of it, run on one data plane by `integration/test_network.py` and on the other by `chaos/test_network.py`.
"""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from indiaai_storage_r2 import R2StorageService
from making import make_settings
from operations import OPERATIONS, Operation, attempt, open_uploads, plant, require_whole, wait_until
from proxy import MISHAPS, FaultProxy, Mishap
from r2 import R2Server

pytestmark = [
    pytest.mark.anyio,
    # botocore leaves the connection that follows a reset one to the garbage collector, whoever closes its client.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BOUND_SECONDS = 30
READ_TIMEOUT_SECONDS = 0.5

# What a listing says has no digest over plain HTTP, where only TLS would notice.
UNNOTICED = {("list", "bit flipped coming down")}
# What a stream gave out cannot be taken back: it ends in an error.
LASTING = {("stream", "bit flipped coming down")}
# On production software, which is slow, what it takes a store to show.
ON_SWIFT = ("reset going up", "reset coming down", "answer lost", "500 after it was done", "silent")
CASES = [
    pytest.param(store, name, mishap, id=f"{store}-{name}-{mishap}".replace(" ", "_"))
    for store, mishaps in (("rules", tuple(MISHAPS)), ("swift", ON_SWIFT))
    for name in OPERATIONS
    for mishap in mishaps
    if (name, mishap) not in UNNOTICED
]


@dataclass
class Site:
    """A store, a proxy before it, a service that asks the proxy, and one that asks the store."""

    proxy: FaultProxy
    values: dict[str, Any]
    direct: R2StorageService
    services: list[R2StorageService] = field(default_factory=list)

    def service(self, **values: object) -> R2StorageService:
        """Return a service behind the proxy, as patient as the tests can bear."""
        patience = {"read_timeout_seconds": READ_TIMEOUT_SECONDS, "connect_timeout_seconds": 2}
        self.services.append(R2StorageService(make_settings(self.proxy.endpoint, **{**self.values, **patience, **values})))
        return self.services[-1]

    async def close(self) -> None:
        """Close the services, and require that no thread and no connection is left."""
        with anyio.fail_after(BOUND_SECONDS):
            for service in (*self.services, self.direct):
                await service.aclose()
        gc.collect()
        assert wait_until(lambda: self.proxy.open_connections == 0, seconds=10)
        assert wait_until(lambda: not [thread for thread in threading.enumerate() if "indiaai" in thread.name], seconds=10)

    def strike(self, mishap: Mishap, *, request: int | None = None) -> Callable[[], int]:
        """Let a mishap befall a request, counted from one, or all of them; return what tells how many there were."""
        seen = 0

        def choose(_: str) -> Mishap | None:
            nonlocal seen
            seen += 1
            return mishap if request in (None, seen) else None

        self.proxy.choose = choose
        return lambda: seen

    async def check(self, operation: Operation, *, is_acknowledged: bool) -> None:
        """Require what must hold, and put the bucket back into its first state."""
        self.proxy.choose = lambda _: None
        await require_whole(operation, self.direct, is_acknowledged=is_acknowledged)
        await plant(self.direct)


@pytest.fixture(autouse=True)
def _no_log_of_answers_that_were_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # What urllib3 logs of one holds its connection, and pytest holds what is logged.
    monkeypatch.setattr(logging.getLogger("urllib3.connection"), "disabled", True)


@pytest.fixture
def store() -> str:
    """The store that a test is about, where it does not say another."""
    return "rules"


@pytest.fixture
async def site(request: pytest.FixtureRequest, store: str) -> AsyncIterator[Site]:
    """A store with a proxy before it."""
    if store == "rules":
        server: R2Server = request.getfixturevalue("server")
        values: dict[str, Any] = {"endpoint": server.endpoint}
    else:
        values = dict(request.getfixturevalue("swift_bucket"))
    endpoint = values.pop("endpoint")
    direct = R2StorageService(make_settings(endpoint, **values))
    with FaultProxy(urlsplit(endpoint).netloc).running() as proxy:
        await plant(direct)
        made = Site(proxy, values, direct)
        yield made
        await made.close()


@pytest.mark.parametrize(("store", "name", "mishap"), CASES)
async def test_one_mishap_is_survived(site: Site, plane: str, name: str, mishap: str) -> None:
    """Whichever of its requests is spoiled, an operation succeeds, and what it says is so."""
    operation = OPERATIONS[name]
    service = site.service(data_plane=plane)
    number, requests = 0, 1

    while number < requests:
        number += 1
        seen = site.strike(MISHAPS[mishap], request=number)
        with anyio.fail_after(BOUND_SECONDS):
            error = await attempt(operation, service)
        requests = min(seen() - 1, 6) if number == 1 else requests
        assert error is None or (name, mishap) in LASTING, f"request {number}: {error}"
        await site.check(operation, is_acknowledged=error is None)
        assert open_uploads(site.direct, site.direct.settings.bucket_name) <= site.proxy.lost_creations


@pytest.mark.parametrize(("store", "name", "mishap"), CASES)
async def test_a_lasting_mishap_ends_in_an_error(site: Site, plane: str, name: str, mishap: str) -> None:
    """Whatever happens to every request, an operation ends in time, by an error that says so or with what it promises."""
    operation = OPERATIONS[name]
    service = site.service(data_plane=plane, retry_seconds=0.5)
    site.strike(MISHAPS[mishap])

    with anyio.fail_after(BOUND_SECONDS):
        error = await attempt(operation, service)

    await site.check(operation, is_acknowledged=error is None)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_store_that_is_away_for_a_while_is_waited_for(site: Site, plane: str, name: str) -> None:
    """Connections that are refused for half a second, old ones among them cut, cost that half a second."""
    service = site.service(data_plane=plane)
    await service.exists("old")
    site.proxy.stop()
    timer = threading.Timer(0.5, site.proxy.restart)
    timer.start()

    with anyio.fail_after(BOUND_SECONDS):
        error = await attempt(OPERATIONS[name], service)
    timer.join()

    assert error is None
    await site.check(OPERATIONS[name], is_acknowledged=True)


@pytest.mark.parametrize("name", ["upload", "download"])
@pytest.mark.parametrize("failures", [1, None])
async def test_a_name_that_is_not_found_is_asked_for_again(
    site: Site, plane: str, name: str, failures: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of DNS is passed over, and one that lasts is an error that says what to look at."""
    look_up, left = socket.getaddrinfo, [failures]

    def fail(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            return look_up(*arguments, **options)
        left[0] = left[0] and left[0] - 1
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    service = site.service(data_plane=plane, retry_seconds=5 if failures else 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with anyio.fail_after(BOUND_SECONDS):
        error = await attempt(OPERATIONS[name], service)
    monkeypatch.undo()

    assert (error is None) == (failures is not None)
    assert error is None or "R2_ENDPOINT_URL" in str(error)
