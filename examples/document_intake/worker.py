"""The job: fetch a document, read it, write down what was found. `indiaai worker worker:worker` works a shared queue."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from pydantic import BaseModel

from extraction import Unreadable, claimed_kind
from indiaai_core import ObjectNotFound, Reject, StorageService, Worker, get_storage_service
from indiaai_core.worker import TaskContext
from indiaai_db import get_database_service
from intake import TASK_NAME
from models import Document, DocumentState
from reader import read_apart

__all__ = ["Reading", "worker"]

READ_SECONDS = 120
FETCHED = 0.2  # the part of the progress that fetching stands for

worker = Worker(concurrency=4)  # each document is read by a process of its own, as busy as a processor


class Reading(BaseModel):
    """What the task is given."""

    document_id: str


@worker.task(TASK_NAME, timeout=600)
async def process(reading: Reading, context: TaskContext) -> dict[str, Any]:
    """Read a document. Doing it twice does no harm: a task may be delivered again after its worker died."""
    async with get_database_service().session(read_only=True) as session:
        document = await session.get(Document, reading.document_id)
    if document is None:
        raise Reject("The document was removed before it was read.")
    if document.is_settled:
        return document.facts
    try:
        facts, text = await _read(document, context)
    except (Unreadable, ObjectNotFound) as error:
        await _settle(document.id, state=DocumentState.FAILED, error=str(error))
        raise Reject(str(error)) from error
    except Exception as error:
        if context.task.is_last_attempt:
            await _settle(document.id, state=DocumentState.FAILED, error=f"It could not be read: {error}")
        raise
    # The row first: if this process dies before the queue hears of it, the next delivery finds the work done.
    await _settle(document.id, state=DocumentState.COMPLETED, facts=facts, text=text, error=None)
    return facts


async def _read(document: Document, context: TaskContext) -> tuple[dict[str, Any], str]:
    with TemporaryDirectory(prefix="intake-") as folder:
        path = Path(folder, "document")
        digest = await _fetch(get_storage_service(), document.key, path)
        await context.progress(FETCHED)

        async def report(fraction: float) -> None:
            await context.progress(round(FETCHED + (1 - FETCHED) * fraction, 2))

        with anyio.move_on_after(READ_SECONDS):
            content = await read_apart(path, claimed_kind(document.media_type), report)
            return {"kind": content.kind, "sha256": digest, **content.facts}, content.text
        raise Unreadable(f"Reading the file takes longer than {READ_SECONDS} seconds.")


async def _fetch(storage: StorageService, key: str, path: Path) -> str:
    digest = hashlib.sha256()
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in storage.stream(key):
            digest.update(chunk)
            await file.write(chunk)
    return digest.hexdigest()


async def _settle(document_id: str, **changes: object) -> None:
    async with get_database_service().session() as session:
        document = await session.get(Document, document_id)
        if document is not None:
            for name, value in changes.items():
                setattr(document, name, value)
