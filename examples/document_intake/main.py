"""The application: `uvicorn main:app --reload`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from indiaai_core.fastapi import install
from indiaai_db import get_database_service
from intake import recover_for_ever
from routes import router
from worker import worker

__all__ = ["app"]

_HERE = Path(__file__).parent
_PAGE = _HERE / "page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Bring the tables up to date, and go on meanwhile with what an earlier process left."""
    await get_database_service().upgrade(config=_HERE / "alembic.ini")
    async with anyio.create_task_group() as background:
        background.start_soon(recover_for_ever)
        yield
        background.cancel_scope.cancel()


app = FastAPI(
    title="Document intake",
    summary="A document goes in, is stored, queued, worked and answered.",
    lifespan=lifespan,
)
app.include_router(router)
app.mount("/page", StaticFiles(directory=_PAGE), name="page")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Show the page."""
    return FileResponse(_PAGE / "index.html", headers=_HEADERS)


install(app, worker=worker, requires={"queue": {"dedupe"}})
