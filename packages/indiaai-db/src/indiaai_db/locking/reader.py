"""Reads the statements of migrations in their order, and finds those that lock; imported by the migrations.

What a statement does depends on those before it: a table that was just made is empty, a lock that was taken lasts until the
transaction's end.
"""

from __future__ import annotations

import re

from indiaai_db.locking.rules import TABLE, TableLock, find_lock

__all__ = ["LockReader"]

_CREATE = re.compile(rf"CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{TABLE}", re.IGNORECASE)
_ALTER = re.compile(rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{TABLE}", re.IGNORECASE)
_VALIDATE = re.compile(r"\sVALIDATE\s+CONSTRAINT\s", re.IGNORECASE)
_IS_SET = re.compile(r'CHECK\s*\(+\s*"?(\w+)"?\s+IS\s+NOT\s+NULL\s*\)', re.IGNORECASE)
_END = re.compile(r"(?:COMMIT|ROLLBACK|END)\b", re.IGNORECASE)


class LockReader:
    """What the statements so far have made and locked; of one run of migrations."""

    def __init__(self) -> None:
        """Begin with nothing made and nothing locked."""
        self._made: set[str] = set()
        self._locked: set[str] = set()
        self._set_columns: set[tuple[str, str | None]] = set()

    def forget_tables(self) -> None:
        """Take what was made for filled, and what was locked for free: another run goes on from here."""
        self._made.clear()
        self._locked.clear()

    def end_transaction(self) -> None:
        """Hear that locks are free."""
        self._locked.clear()

    def read(self, statement: str) -> TableLock | None:
        """Return what the next statement would lock; None for one that would not."""
        text = statement.strip()
        if _END.match(text):
            self.end_transaction()
        if created := _CREATE.match(text):
            self._made.add(created["table"])
        found = find_lock(text) or self._find_late_validation(text)
        if altered := _ALTER.match(text):
            self._locked.add(altered["table"])
            self._set_columns.update((altered["table"], column) for column in _IS_SET.findall(text))
        is_known_set = found is not None and "SET NOT NULL" in text.upper() and (found.table, found.column) in self._set_columns
        return None if found is None or found.table in self._made or is_known_set else found

    def _find_late_validation(self, statement: str) -> TableLock | None:
        altered = _ALTER.match(statement)
        if altered is None or not _VALIDATE.search(statement) or altered["table"] not in self._locked:
            return None
        return TableLock(
            altered["table"],
            None,
            " ".join(statement.split()),
            "the ALTER TABLE before it in this transaction keeps others out until every row is checked",
            "VALIDATE CONSTRAINT within autocommit_block(), which commits what came before",
        )
