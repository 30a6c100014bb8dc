"""The FastAPI integration: lifespan, services as parameters, backends' routes, health, errors; imported by applications.

Needs the extra `indiaai-core[fastapi]`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from indiaai_core.errors import (
    BackendUnavailable,
    IndiaAIError,
    InvalidKey,
    InvalidRequest,
    InvalidTask,
    ObjectExists,
    ObjectNotFound,
    QueueFull,
    TaskNotFound,
    Unsupported,
)
from indiaai_core.platform import MOUNT_PATH, Platform, get_service, request_origin, use_platform
from indiaai_core.queue import QueueService, get_queue_service
from indiaai_core.selection import Slot
from indiaai_core.storage import StorageService, get_storage_service

if TYPE_CHECKING:
    from indiaai_core.worker import Worker

__all__ = ["Queue", "Storage", "install", "service"]

logger = logging.getLogger("indiaai")

STATUS_CODES: Mapping[type[IndiaAIError], int] = {
    ObjectNotFound: 404,
    TaskNotFound: 404,
    ObjectExists: 409,
    InvalidKey: 400,
    InvalidRequest: 400,
    InvalidTask: 400,
    Unsupported: 501,
    QueueFull: 503,
    BackendUnavailable: 503,
}
"""The HTTP status of each error; every other one is 500, and only says that to the client."""


def service(layer: str, name: str | None = None) -> Any:
    """Return the dependency that gives an endpoint a layer's service.

    For example `search: Annotated[SearchService, service("search")]`.

    Args:
        layer: The layer's name.
        name: A named instance; None for the main one.
    """

    async def current() -> Any:  # async although it awaits nothing: FastAPI runs a plain one in a thread
        return get_service(layer, name)

    return Depends(current)


async def _storage() -> StorageService:
    return get_storage_service()


async def _queue() -> QueueService:
    return get_queue_service()


Storage = Annotated[StorageService, Depends(_storage)]
"""The type of an endpoint's parameter that takes the storage service."""

Queue = Annotated[QueueService, Depends(_queue)]
"""The type of an endpoint's parameter that takes the queue service."""


def install(
    app: FastAPI,
    *,
    worker: Worker | None = None,
    requires: Mapping[str, AbstractSet[str]] | None = None,
    platform: Platform | None = None,
) -> Platform:
    """Make an application run on a platform.

    Its services open before the application's own lifespan and close after it. Call it once, before the application starts.

    Args:
        app: The application.
        worker: Worked by this process as long as the queue lives in it (capability `in_process`); a shared queue is worked
            by `indiaai worker`.
        requires: What the application needs of each layer, as for `Platform`.
        platform: The platform to run on; one of its own from the environment where None.

    Returns:
        The platform, for `platform.override(…)` in tests.
    """
    platform = platform or Platform(requires=requires)
    app.router.lifespan_context = _merged_lifespan(app.router.lifespan_context, platform, worker)
    app.add_middleware(_PlatformMiddleware, platform=platform)
    app.add_exception_handler(IndiaAIError, _answer_error)
    # First in the list, so that an application's own catch-all route does not hide them.
    app.router.routes[:0] = [
        *_metrics_routes(platform),
        Route("/health/live", _answer_live),
        Route("/health/ready", _Readiness(platform)),
        Mount(f"{MOUNT_PATH}/{{layer}}/{{instance}}", app=_BackendRoutes(platform)),
    ]
    return platform


def _metrics_routes(platform: Platform) -> list[Route]:
    """Return the route of `/metrics`, where a variable puts the wrapper `metrics` in front of something."""
    environment = platform.environment
    named = ",".join(environment[name] for name in environment if name.endswith("_WRAPPERS")).lower().split(",")
    return [Route("/metrics", _Metrics(platform))] if "metrics" in map(str.strip, named) else []


def _merged_lifespan(own: Any, platform: Platform, worker: Worker | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(platform)
            stack.enter_context(use_platform(platform))
            state = await stack.enter_async_context(own(app))
            if worker is not None and worker.is_in_process(platform):
                await stack.enter_async_context(worker.running())
            yield state

    return lifespan


class _PlatformMiddleware:
    """Makes the application's platform, and the address it was asked under, what each request's code sees."""

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        token = request_origin.set(_origin(scope))
        try:
            with use_platform(self._platform):
                await self._app(scope, receive, send)
        finally:
            request_origin.reset(token)


def _origin(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return f"{scheme}://{host}{scope.get('root_path', '')}" if host else ""


class _BackendRoutes:
    """Serves the routes that a backend brings, such as signed local files, under `/_indiaai/<layer>/<instance>`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        layer, instance = scope["path_params"]["layer"], scope["path_params"]["instance"]
        # Only services that are there: a stranger's request must not make one.
        found = self._platform.services.get(Slot(layer, None if instance == "default" else instance))
        application = getattr(found, "http_app", None)
        if scope["type"] != "http" or application is None:
            application = JSONResponse({"detail": "Not Found"}, status_code=404)
        await application(scope, receive, send)


class _Metrics:
    """Answers with what the wrapper `metrics` counted, in the text that Prometheus reads."""

    def __init__(self, platform: Platform) -> None:
        from prometheus_client import make_asgi_app

        from indiaai_core.wrappers.metrics import new_registry

        self._platform = platform
        self._app = make_asgi_app(new_registry())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from indiaai_core.wrappers.metrics import count_tasks

        await count_tasks({slot.instance: found for slot, found in self._platform.services.items() if slot.layer == "queue"})
        await self._app(scope, receive, send)


async def _answer_live(_: Request) -> JSONResponse:
    return JSONResponse({"status": "alive"})


class _Readiness:
    """Answers 200 while every service can serve, and 503 while one cannot; which one, and not why, for anybody may ask."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._platform.check()
        for name, health in found.items():
            if health.error:
                logger.warning("%s cannot serve: %s", name, health.error)
        is_ready = all(health.is_healthy for health in found.values())
        content = {
            "status": "ready" if is_ready else "unavailable",
            "services": {
                name: {
                    "healthy": health.is_healthy,
                    "seconds": round(health.seconds, 4),
                    "error": type(health.error).__name__ if health.error else None,
                }
                for name, health in found.items()
            },
        }
        await JSONResponse(content, status_code=200 if is_ready else 503)(scope, receive, send)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS_CODES.items() if isinstance(error, kind)), 500)
    headers: dict[str, str] = {}
    if status >= 500:  # the client is told that it was not its fault, and the operator why
        logger.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
    if status == 503:
        headers["Retry-After"] = str(max(1, round(getattr(error, "retry_after", None) or 1)))
    details = {503: "The service is busy or cannot be reached now. Try again later.", 500: "Internal Server Error"}
    return JSONResponse({"detail": details.get(status, str(error))}, status_code=status, headers=headers)
