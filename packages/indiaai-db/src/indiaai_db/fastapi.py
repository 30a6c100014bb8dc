"""The database service as an endpoint's parameter; imported by applications. Needs the extra `indiaai-db[fastapi]`.

    @app.get("/documents/{document_id}")
    async def read(document_id: uuid.UUID, database: Database) -> Document:
        async with database.session(read_only=True) as session:
            ...

The parameter is the service and not a session: a session that FastAPI closed would commit after the answer was sent, and a
failed commit would be nobody's to tell.

A request that takes it reads what it has committed itself, in whichever of its tasks and threads, also where read-only
sessions go to replicas.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from indiaai_db.factory import get_database_service
from indiaai_db.freshness import share_commits
from indiaai_db.service import DatabaseService

__all__ = ["Database"]


async def _database() -> DatabaseService:  # async although it awaits nothing: FastAPI runs a plain one in a thread
    share_commits()
    return get_database_service()


Database = Annotated[DatabaseService, Depends(_database)]
"""The type of an endpoint's parameter that takes the database service."""
