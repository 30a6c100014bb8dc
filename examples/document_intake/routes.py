"""What the application answers to; imported by `main`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, HTTPException, Query, Request
from sqlalchemy import select, tuple_
from sqlalchemy.orm import undefer

from form import FIELD, IncomingFile
from indiaai_core import TaskNotFound
from indiaai_core.fastapi import Queue, Storage
from indiaai_db.fastapi import Database
from intake import receive
from models import Document, DocumentState
from schemas import DocumentDetail, DocumentPage, DocumentSummary, JobStatus, Limits, Problem, UploadReceipt
from settings import settings

__all__ = ["router"]

router = APIRouter()

_FORM = {
    "type": "object",
    "required": [FIELD],
    "properties": {FIELD: {"type": "string", "format": "binary", "description": "Text, Markdown, PDF or an image."}},
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The form is broken or was cut off.",
        408: "The upload took too long.",
        413: "The file is too large.",
        415: "It is not a form.",
        422: "The form holds no file, or an empty one.",
        503: "A service is busy or cannot be reached.",
    }.items()
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}


@router.post(
    "/upload",
    status_code=201,
    responses=_REFUSALS,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def upload(request: Request, storage: Storage, queue: Queue, database: Database) -> UploadReceipt:
    """Take in a file and queue its reading.

    The file goes on to the storage as it arrives. An upload that is refused or cut off leaves nothing.
    """
    try:
        with anyio.fail_after(settings().max_upload_seconds):
            file = await IncomingFile.begin(request, max_bytes=settings().max_upload_bytes)
            document = await receive(file, storage=storage, queue=queue, database=database)
    except TimeoutError as error:
        raise HTTPException(408, f"The upload took longer than {settings().max_upload_seconds:g} seconds.") from error
    url = await storage.get_url(document.key, settings().link_seconds)
    return UploadReceipt(job_id=str(document.job_id), document_id=document.id, url=url)


@router.get("/jobs/{job_id}", responses=_NOT_FOUND)
async def job(job_id: str, queue: Queue, database: Database) -> JobStatus:
    """Tell how far a job is, and what it found."""
    async with database.session(read_only=True) as session:
        document = await session.scalar(select(Document).where(Document.job_id == job_id).limit(1))
    if document is None:
        raise HTTPException(404, "There is no such job.")
    told = partial(JobStatus, job_id=job_id, document_id=document.id)
    if document.state == DocumentState.COMPLETED:
        return told(state="completed", progress=1, result=document.facts)
    if document.state == DocumentState.FAILED:
        return told(state="failed", progress=1, error=document.error)
    try:
        status = await queue.get_status(str(document.task_id))
    except TaskNotFound:  # the queue was lost with its process; the next start queues the document again
        return told(state="pending", progress=0)
    progress = status.progress if isinstance(status.progress, int | float) else 0
    return told(state=status.state.value, progress=progress, result=status.result, error=status.error)


@router.get("/documents", responses=_NOT_FOUND)
async def documents(
    database: Database,
    limit: Annotated[int, Query(ge=1, le=100, description="The most documents to give.")] = 20,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
) -> DocumentPage:
    """List the documents, the latest first."""
    wanted = select(Document).where(Document.state != DocumentState.RECEIVING)
    async with database.session(read_only=True) as session:
        if after is not None:
            last = await session.get(Document, after)
            if last is None:
                raise HTTPException(404, "There is no such page: the document that it begins after is gone.")
            wanted = wanted.where(tuple_(Document.created_at, Document.id) < (last.created_at, last.id))
        newest_first = wanted.order_by(Document.created_at.desc(), Document.id.desc())
        found = list(await session.scalars(newest_first.limit(limit + 1)))
    return DocumentPage(
        documents=[DocumentSummary.model_validate(document) for document in found[:limit]],
        next=found[limit - 1].id if len(found) > limit else None,
    )


@router.get("/documents/{document_id}", responses=_NOT_FOUND)
async def document(document_id: str, storage: Storage, database: Database) -> DocumentDetail:
    """Give a document: what is known about it, its text, and a link to the file."""
    async with database.session(read_only=True) as session:
        found = await session.get(Document, document_id, options=[undefer(Document.text)])
    if found is None or found.state == DocumentState.RECEIVING:
        raise HTTPException(404, "There is no such document.")
    summary = DocumentSummary.model_validate(found)
    url = await storage.get_url(found.key, settings().link_seconds)
    return DocumentDetail(**summary.model_dump(), text=found.text, url=url)


@router.get("/limits")
async def limits() -> Limits:
    """Tell what is taken, so that a page need not send what would be refused."""
    return Limits(max_upload_bytes=settings().max_upload_bytes)
