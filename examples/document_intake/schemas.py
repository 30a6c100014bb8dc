"""What the application answers; imported by the routes and shown on the OpenAPI page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DocumentDetail", "DocumentPage", "DocumentSummary", "JobStatus", "Limits", "Problem", "UploadReceipt"]


class UploadReceipt(BaseModel):
    """A file was stored, and a job to read it is queued."""

    job_id: str = Field(description="Ask for it at /jobs/{job_id}.")
    document_id: str = Field(description="Ask for it at /documents/{document_id}.")
    url: str = Field(description="A link to the file itself, which works for a while.")


class JobStatus(BaseModel):
    """How far the reading of a document is."""

    job_id: str
    document_id: str
    state: Literal["pending", "processing", "completed", "failed", "cancelled"]
    progress: float = Field(ge=0, le=1, description="The part that is done, from 0 to 1.")
    result: dict[str, Any] | None = Field(default=None, description="What was found, once it is completed.")
    error: str | None = Field(default=None, description="Why it failed, or why the latest attempt did.")


class DocumentSummary(BaseModel):
    """A document as the list shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    media_type: str
    size: int = Field(description="Bytes.")
    state: Literal["pending", "completed", "failed"]
    error: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict, description="What was found: kind, sha256, pages, words, width, …")
    job_id: str | None = None
    created_at: datetime


class DocumentDetail(DocumentSummary):
    """A document with its text and a link to the file."""

    text: str
    url: str = Field(description="A link to the file itself, which works for a while.")


class DocumentPage(BaseModel):
    """Some documents, the latest first."""

    documents: list[DocumentSummary]
    next: str | None = Field(description="Give it as `after` to get the next page; null at the end.")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Limits(BaseModel):
    """What the application takes."""

    max_upload_bytes: int
