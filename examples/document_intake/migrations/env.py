"""What Alembic runs: one history for every database."""

from indiaai_db.migrations import run
from models import Document

run(Document.metadata)
