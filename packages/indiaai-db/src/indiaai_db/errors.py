"""The database layer's own errors; imported by the service, its backends and applications.

    IndiaAIError
    ├── BackendUnavailable          (indiaai-core) the database does not answer, or refuses for now
    │   ├── TransactionConflict     the transaction lost against another one; nothing of it is there; a retry may help
    │   └── CommitUnknown           the connection broke during COMMIT: the transaction is there whole, or not at all
    └── DatabaseError
        ├── ReadOnlySession         a read-only session was asked to write
        └── MigrationFailed         the schema is what it was before
            └── MigrationWouldLock  it was not run, for it would keep others from a large table

What SQLAlchemy raises about the statements themselves (`IntegrityError`, `NoResultFound`, …) is the application's and comes
out as it is: a session is SQLAlchemy's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from indiaai_core.errors import BackendUnavailable, IndiaAIError

__all__ = ["CommitUnknown", "DatabaseError", "MigrationFailed", "MigrationWouldLock", "ReadOnlySession", "TransactionConflict"]


class DatabaseError(IndiaAIError):
    """A database call failed for a reason of its own."""


class ReadOnlySession(DatabaseError):
    """A session that was opened with `read_only=True` was asked to write; nothing was written."""

    def __init__(self) -> None:
        """Say which session writes."""
        super().__init__("A read-only session cannot write. Open the session without read_only=True.")


class MigrationFailed(DatabaseError):
    """A migration failed, and what it did before was rolled back: schema and data are what they were.

    What it did before and within an `autocommit_block()` is there on PostgreSQL, for that commits.
    """


class MigrationWouldLock(MigrationFailed):
    """A migration would keep others from a large table for long; the schema is what it was before.

    Attributes:
        locks: The revisions, and what each would lock, why, and what to do instead.
    """

    def __init__(self, locks: Sequence[tuple[str, object]]) -> None:
        """Name every revision and statement."""
        self.locks = [*locks]
        lines = "\n".join(f"- revision {revision}: {lock}" for revision, lock in locks)
        super().__init__(
            f"Migrations would keep others from a table for as long as it is large:\n{lines}\nWhere that may be, write "
            "`accepts_locks = True` into the revision, or run `indiaai db upgrade --accept-locks`."
        )


class TransactionConflict(BackendUnavailable):
    """The transaction lost a conflict with another one and was rolled back whole; doing all of it again may succeed.

    `DatabaseService.run` does it again by itself, and raises this when it gives up.

    Attributes:
        attempts: How often the transaction was tried.
    """

    def __init__(self, message: str, *, attempts: int = 1, retry_after: float | None = None) -> None:
        """Say what it lost against, and how often."""
        super().__init__(message, retry_after=retry_after)
        self.attempts = attempts


class CommitUnknown(BackendUnavailable):
    """The connection was lost while COMMIT was under way, so the transaction is there whole, or not at all.

    Nothing repeats it blindly. Look for what it wrote, or make the transaction one that may be repeated.
    """

    def __init__(self) -> None:
        """Say what is not known, and what to do."""
        super().__init__(
            "The connection to the database was lost during COMMIT: the transaction is there whole, or not at all. "
            "Look for what it wrote before you repeat it."
        )
