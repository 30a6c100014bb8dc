"""The FastAPI integration: lifespan, parameters, routes, health and errors, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    InvalidKey,
    ObjectExists,
    ObjectNotFound,
    Platform,
    QueueFull,
    Service,
    StorageService,
    TaskNotFound,
    Unsupported,
    Worker,
    current_platform,
    get_storage_service,
)
from indiaai_core.fastapi import Queue, Storage, install, service
from indiaai_core.platform import request_origin
from installed import DICT_STORAGE, SitePackages

DICT_QUEUE = """
    from indiaai_core import QueueService

    class Backend(QueueService):
        capabilities = frozenset({"in_process"})
        enqueue = dequeue = get_status = update_status = None
"""


@pytest.fixture
def app(site: SitePackages) -> FastAPI:
    """An application on a dict."""
    site.backend("local")
    site.backend("memory", layer="queue", source=DICT_QUEUE)
    return FastAPI()


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A client of the application, which has not been started."""
    return TestClient(app, raise_server_exceptions=False)


def test_services_come_as_parameters_and_from_factories(app: FastAPI, client: TestClient) -> None:
    """An annotated parameter and a factory in the body give the same service, of the application's own platform."""
    platform = install(app)

    @app.get("/same")
    async def same(
        storage: Storage, queue: Queue, archive: Annotated[StorageService, service("storage", "archive")]
    ) -> list[bool]:
        own = platform.get_service
        return [
            storage is get_storage_service() is own("storage"),
            queue is own("queue"),
            archive is own("storage", "archive"),
            current_platform() is platform,
        ]

    with client:
        assert client.get("/same").json() == [True, True, True, True]


def test_the_platform_is_open_inside_the_application_s_own_lifespan(app: FastAPI, client: TestClient) -> None:
    """Services are there before the application starts and until after it stops; its state is kept."""
    seen: list[Any] = []

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[dict[str, int]]:
        storage: Any = get_storage_service()
        seen.append(storage)
        yield {"answer": 42}
        seen.append(storage.is_closed)

    app.router.lifespan_context = own
    install(app)

    with client:
        assert client.app_state == {"answer": 42}

    storage, was_closed_inside = seen
    assert (storage.is_closed, was_closed_inside) == (True, False)


def test_a_bad_configuration_stops_the_start(app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application does not come up on a backend that is not there."""
    install(app)
    monkeypatch.setenv("STORAGE_TYPE", "r2")

    with pytest.raises(ConfigurationError, match="pip install indiaai-storage-r2"), client:
        pass


def test_what_the_application_needs_is_checked_at_start(app: FastAPI, client: TestClient) -> None:
    """`requires` goes to the platform."""
    install(app, requires={"storage": {"presign"}})

    with pytest.raises(ConfigurationError, match="presign"), client:
        pass


def test_a_platform_can_be_given(app: FastAPI, client: TestClient) -> None:
    """A test hands in the platform it controls."""
    platform = Platform()
    platform.override("storage", "mine")

    assert install(app, platform=platform) is platform

    @app.get("/mine")
    async def mine() -> str:
        return str(get_storage_service())

    assert client.get("/mine").json() == "mine"


@pytest.mark.parametrize("is_in_process", [True, False])
def test_the_application_works_a_queue_that_lives_in_it(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch, *, is_in_process: bool
) -> None:
    """The worker runs inside the lifespan only where no other process could work the queue."""
    worker = Worker()
    ran: list[str] = []

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        ran.append("started")
        yield
        ran.append("stopped")

    monkeypatch.setattr(worker, "running", running)
    platform = install(app, worker=worker)
    with client:
        assert ran == ["started"]
    ran.clear()

    class Shared:
        capabilities: frozenset[str] = frozenset({"in_process"} if is_in_process else ())

        async def check(self) -> None:
            """Be well."""

    with platform.override("queue", Shared()), client:
        pass

    assert ran == (["started", "stopped"] if is_in_process else [])


def test_health_is_served_before_a_catch_all_route(app: FastAPI, client: TestClient) -> None:
    """An application that serves everything under `/` still answers its health."""

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return path

    install(app)

    with client:
        assert client.get("/health/live").json() == {"status": "alive"}
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["status"] == "ready"
        assert set(ready.json()["services"]) == {"storage", "queue"}
        assert client.get("/other").json() == "other"


def test_a_service_that_cannot_serve_makes_the_application_unready(
    app: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Readiness names the service for anybody, and the reason in the log only."""
    platform = install(app)

    class Broken(Service):
        async def check(self) -> None:
            raise BackendUnavailable("10.0.0.7 does not answer")

    with client, platform.override("storage", Broken()):
        answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["services"]["storage"]["error"] == "BackendUnavailable"
    assert "10.0.0.7" not in answer.text
    assert "10.0.0.7 does not answer" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ObjectNotFound("a.pdf"), 404),
        (TaskNotFound("7"), 404),
        (ObjectExists("a.pdf"), 409),
        (InvalidKey("../a", "it climbs"), 400),
        (Unsupported("DictStorage", "list"), 501),
        (QueueFull("full"), 503),
        (BackendUnavailable("secret.host is gone", retry_after=7.4), 503),
        (ConfigurationError("R2_BUCKET_NAME is wrong"), 500),
    ],
)
def test_errors_become_http(
    app: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    """What the client did is told to the client; what the server's setting is told to the log."""
    install(app)

    @app.get("/fail")
    async def fail() -> None:
        raise error

    with caplog.at_level(logging.ERROR, logger="indiaai"):
        answer = client.get("/fail")

    assert answer.status_code == status
    assert (str(error) in answer.text.replace('\\"', '"')) == (status < 500 or status == 501)
    assert (str(error) in caplog.text) == (status >= 500)
    if status == 503:
        assert answer.headers["Retry-After"] == ("7" if isinstance(error, BackendUnavailable) else "1")


def test_a_backend_s_own_routes_are_served(app: FastAPI, client: TestClient, site: SitePackages) -> None:
    """What a backend serves stands under its place, relative to it; nothing is made for a stranger's request."""
    served = DICT_STORAGE + (
        "\n        @property\n        def http_app(self):\n"
        "            from starlette.responses import PlainTextResponse\n"
        "            async def app(scope, receive, send):\n"
        "                await PlainTextResponse(scope['path'].removeprefix(scope['root_path']))(scope, receive, send)\n"
        "            return app\n"
    )
    site.backend("files", source=served)
    platform = install(app, platform=Platform({"STORAGE_TYPE": "files"}))

    with client:
        assert client.get("/_indiaai/storage/default/a/b.pdf").text == "/a/b.pdf"
        assert client.get("/_indiaai/storage/archive/a").status_code == 404
        assert client.get("/_indiaai/queue/default/a").status_code == 404
        platform.get_service("storage", "archive")
        assert client.get("/_indiaai/storage/archive/a").text == "/a"


def test_the_origin_of_a_request_is_known(app: FastAPI, client: TestClient) -> None:
    """A backend can make an absolute link to the application within a request, and none outside of one."""
    install(app)
    app.root_path = "/api"

    @app.get("/origin")
    async def origin() -> str:
        return request_origin.get()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(request_origin.get())

    assert client.get("/origin", headers={"Host": "docs.example:8443"}).json() == "http://docs.example:8443/api"
    assert client.get("/origin", headers={"Host": ""}).json() == ""
    with client.websocket_connect("/ws") as websocket:
        assert websocket.receive_text() == "http://testserver/api"
    assert request_origin.get() == ""
