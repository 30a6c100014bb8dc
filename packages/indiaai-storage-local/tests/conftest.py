"""Fixtures of this package's tests: a service in a folder of its own, and a client for its links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
import pytest

from indiaai_core.testing import Answer, Fetch
from indiaai_storage_local import LocalSettings, LocalStorageService

MOUNT = "/_indiaai/storage/default"


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of the store; it is not there yet."""
    return tmp_path / "store"


@pytest.fixture
async def service(root: Path) -> AsyncIterator[LocalStorageService]:
    """A service on an empty store."""
    async with LocalStorageService(LocalSettings(path=root)) as service:
        yield service


@pytest.fixture
async def second_service(root: Path) -> AsyncIterator[LocalStorageService]:
    """Another one on the same store, as another process would have it."""
    async with LocalStorageService(LocalSettings(path=root)) as service:
        yield service


@pytest.fixture
async def http(service: LocalStorageService) -> Fetch:
    """A client of the service's application, mounted as Starlette mounts it: the prefix in the path and in `root_path`."""
    return AsgiClient(service.http_app)


@pytest.fixture
def client_of() -> Callable[[LocalStorageService], Fetch]:
    """Gives a client of any service's application."""
    return lambda service: AsgiClient(service.http_app)


class AsgiClient:
    """Sends requests straight to an ASGI application under `MOUNT`."""

    def __init__(self, app: Any) -> None:
        """Talk to this application."""
        self._app = app

    async def __call__(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Send one request, its body in three messages, and stay connected until it is answered."""
        parts = urlsplit(url)
        pieces = [body[:1], body[1:2], body[2:]]
        received: list[MutableMapping[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": piece is not pieces[2]} for piece in pieces
        ]
        received[-1]["more_body"] = False
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if not received:
                await anyio.sleep_forever()
            return received.pop(0)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(parts.path),
            "root_path": MOUNT,
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        await self._app(scope, receive, send)
        fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))
