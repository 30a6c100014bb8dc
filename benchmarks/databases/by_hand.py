"""The example application's `GET /jobs/{job_id}` written by hand: FastAPI, SQLAlchemy and a session as its dependency.

Served by uvicorn for `database`; imported by nobody else. It sets what a careful author sets, and does nothing more.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

__all__ = ["app"]

models: Any = import_module("models")  # the example's, on the path of this process alone
schemas: Any = import_module("schemas")
app = FastAPI()
engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['SQLITE_DB_PATH']}")
sessions = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def _set_up(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


@app.get("/jobs/{job_id}", response_model=schemas.JobStatus)
async def job(job_id: str, session: Annotated[AsyncSession, Depends(_session)]) -> Any:
    """Tell how far a job is, and what it found."""
    document = await session.scalar(select(models.Document).where(models.Document.job_id == job_id).limit(1))
    if document is None or document.state != models.DocumentState.COMPLETED:
        raise HTTPException(404, "There is no such job.")
    return schemas.JobStatus(job_id=job_id, document_id=document.id, state="completed", progress=1, result=document.facts)
