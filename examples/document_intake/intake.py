"""How a document comes in, and how one that got stuck goes on; imported by the routes and by the application's start.

A document passes through three services that share no transaction, so the order is what keeps it whole:

1. the row is written, as `receiving`;
2. the file is stored;
3. the row becomes `pending`;
4. the task is queued.

Cut off or refused before the end, all of it is undone. Killed before the end, the row tells `recover` what to do: what was
`receiving` is removed, file first; what was `pending` is queued again. Nothing is lost and nothing is left over.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
from anyio import CancelScope
from sqlalchemy import select

from extraction import media_type
from form import IncomingFile
from indiaai_core import QueueService, StorageService, TaskNotFound, TaskState, get_queue_service, get_storage_service
from indiaai_db import DatabaseService, get_database_service, utc_now
from models import Document, DocumentState
from settings import settings

__all__ = ["TASK_NAME", "receive", "recover", "recover_for_ever"]

TASK_NAME = "process"
"""What the task that reads a document is called."""

MAX_ATTEMPTS = 3
RECOVERY_SECONDS = 300
PAGE_DOCUMENTS = 100

logger = logging.getLogger("document_intake")


async def receive(file: IncomingFile, *, storage: StorageService, queue: QueueService, database: DatabaseService) -> Document:
    """Store a file as it arrives, record it and queue its reading: all of it or nothing.

    Raises:
        HTTPException: The file is too large, or the sender stopped before its end.
        BackendUnavailable: One of the services does not answer.
        QueueFull: There is too much to do already.
    """
    document = Document(name=file.name, media_type=media_type(file.name, file.declared_type))
    async with database.session() as session:
        session.add(document)
    try:
        await storage.upload(document.key, file, document.media_type)
        document = await _update(database, document.id, state=DocumentState.PENDING, size=file.size)
        task_id = await _enqueue(queue, document)
        return await _update(database, document.id, job_id=task_id, task_id=task_id)
    except BaseException:
        with CancelScope(shield=True):
            await _discard(document, storage=storage, database=database)
        raise


async def recover_for_ever() -> None:
    """Do what `recover` does, now and every few minutes: a worker that is killed is not always followed by a start."""
    while True:
        try:
            await recover()
        except Exception:  # whatever it is, it must not end the application, and the next round may find it mended
            logger.exception("Unfinished documents could not be looked for; the next round tries again")
        await anyio.sleep(RECOVERY_SECONDS)


async def recover() -> None:
    """Go on with documents that a process left unfinished. Any number of processes may do it at any time."""
    database, queue, storage = get_database_service(), get_queue_service(), get_storage_service()
    # Longer ago than any upload may take: what is still being received elsewhere is left alone.
    abandoned_before = utc_now() - timedelta(seconds=2 * settings().max_upload_seconds)
    async for document in _unfinished(database):
        if document.state == DocumentState.PENDING:
            await _resume(document, queue=queue, database=database)
        elif document.created_at < abandoned_before:
            await _discard(document, storage=storage, database=database)


async def _unfinished(database: DatabaseService) -> AsyncIterator[Document]:
    after = ""
    while True:
        async with database.session(read_only=True) as session:
            page = list(
                await session.scalars(
                    select(Document)
                    .where(Document.state.in_([DocumentState.PENDING, DocumentState.RECEIVING]), Document.id > after)
                    .order_by(Document.id)
                    .limit(PAGE_DOCUMENTS)
                )
            )
        for document in page:
            yield document
        if not page:
            return
        after = page[-1].id


async def _resume(document: Document, *, queue: QueueService, database: DatabaseService) -> None:
    try:
        status = await queue.get_status(document.task_id) if document.task_id else None
    except TaskNotFound:
        status = None
    if status is None:
        logger.info("Document %s was waiting when its queue was lost; it is queued again", document.id)
        task_id = await _enqueue(queue, document)
        await _update(database, document.id, task_id=task_id, job_id=document.job_id or task_id)
    elif status.state in (TaskState.FAILED, TaskState.CANCELLED):
        # Its worker was killed at every attempt and could not write this down itself.
        await _update(database, document.id, state=DocumentState.FAILED, error=status.error or "The job was cancelled.")


async def _enqueue(queue: QueueService, document: Document) -> str:
    # The key makes it one task, however many processes find the document at the same time.
    return await queue.enqueue(
        TASK_NAME, {"document_id": document.id}, max_attempts=MAX_ATTEMPTS, dedupe_key=f"document-{document.id}"
    )


async def _update(database: DatabaseService, document_id: str, **changes: object) -> Document:
    async with database.session() as session:
        document = await session.get_one(Document, document_id)
        for name, value in changes.items():
            setattr(document, name, value)
    return document


async def _discard(document: Document, *, storage: StorageService, database: DatabaseService) -> None:
    # The file goes first: a row without a file is found again by `recover`, a file without a row by nobody.
    try:
        await storage.delete(document.key)
        async with database.session() as session:
            found = await session.get(Document, document.id)
            if found is not None:
                await session.delete(found)
    except Exception:
        logger.exception("Document %s could not be removed; `recover` tries again", document.id)
