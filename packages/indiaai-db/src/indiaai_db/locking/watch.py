"""Watches migrations for locks: as they run on PostgreSQL, or as they would; imported by the migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from indiaai_db.errors import MigrationWouldLock
from indiaai_db.locking.reader import LockReader
from indiaai_db.locking.rules import TableLock

__all__ = ["LARGE_BYTES", "LockWatch"]

LARGE_BYTES = 64 * 1024 * 1024
"""From this size on a table is large: to read it takes a tenth of a second, to rewrite or to index it several times that."""

_SIZE = text(
    "SELECT greatest(coalesce(pg_relation_size(to_regclass(:table)), 0), "
    "(SELECT coalesce(sum(pg_relation_size(relid)), 0) FROM pg_partition_tree(to_regclass(:table))))"
)
_IS_CHECKED = text("""
    SELECT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'c' AND convalidated
        AND position('(' || :column || ' IS NOT NULL)' IN replace(pg_get_constraintdef(oid), '"', '')) > 0
    )
""")
_IS_MADE_LONGER = text("""
    SELECT atttypid = 'varchar'::regtype AND (:new IN ('text', 'varchar') OR (atttypmod > 0 AND atttypmod - 4 <= :length))
    FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :column
""")


class LockWatch:
    """What the migrations of one command would lock.

    Attributes:
        found: What was found in revisions that do not accept it, with the revision's name.
        revision: The revision that is under way.
        applied: Revisions that need no look any more.
    """

    def __init__(self, *, accepts_locks: bool = False) -> None:
        """Watch nothing yet.

        Args:
            accepts_locks: Whether locks are accepted, whatever the revisions say.
        """
        self.found: list[tuple[str, TableLock]] = []
        self.revision = ""
        self.applied: frozenset[str] = frozenset()
        self._accepts_all = accepts_locks
        self._accepts = accepts_locks
        self._reader = LockReader()
        self._is_asking = False

    def steps(self, choose: Callable[[Any, Any], Iterable[Any]]) -> Callable[[Any, Any], Iterator[Any]]:
        """Wrap what gives Alembic its steps, so that the watch knows which revision is under way."""

        def watched(heads: Any, migration_context: Any) -> Iterator[Any]:
            for step in choose(heads, migration_context):
                script = getattr(step, "revision", None)
                self.revision = getattr(script, "revision", "")
                accepts = getattr(getattr(script, "module", None), "accepts_locks", False)
                self._accepts = self._accepts_all or bool(accepts) or self.revision in self.applied
                if migration_context.as_sql:
                    self._reader.forget_tables()
                yield step

        return watched

    def write(self, printed: str) -> None:
        """Take a statement that Alembic prints instead of running it."""
        statement = "\n".join(line for line in printed.strip().splitlines() if not line.startswith("--")).rstrip("; \n")
        found = self._reader.read(statement)
        if found is not None and not self._accepts:
            self.found.append((self.revision, found))

    def flush(self) -> None:
        """Do what a file does; nothing is held back."""

    def listen(self, connection: Connection) -> None:
        """Refuse a statement that would lock a large table, before the connection sends it."""

        def look(_: object, __: object, statement: str, *___: object) -> None:
            if self._is_asking:
                return
            found = self._reader.read(statement)
            if found is not None and not self._accepts and self._is_large(connection, found):
                raise MigrationWouldLock([(self.revision, found)])

        event.listen(connection, "before_cursor_execute", look)
        event.listen(connection, "commit", lambda _: self._reader.end_transaction())

    def _is_large(self, connection: Connection, found: TableLock) -> bool:
        self._is_asking = True
        try:
            size = connection.scalar(_SIZE, {"table": found.table})
            return bool(size >= LARGE_BYTES) and not _is_harmless(connection, found)
        finally:
            self._is_asking = False


def _is_harmless(connection: Connection, found: TableLock) -> bool:
    statement = found.statement.lower()
    where = {"table": found.table, "column": found.column}
    if " set not null" in statement:
        return bool(connection.scalar(_IS_CHECKED, where))
    _, _, kind = statement.partition(" type ")
    name, _, length = kind.strip().rstrip(")").partition("(")
    if found.column and name in ("text", "varchar", "character varying"):
        new = "varchar" if name != "text" and not length else name
        given = {"new": new, "length": int(length) if length.isdigit() else 0}
        return bool(connection.scalar(_IS_MADE_LONGER, where | given))
    return False
