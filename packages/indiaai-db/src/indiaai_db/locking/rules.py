"""Which statements keep others from a table of PostgreSQL for as long as the table is large; imported by the reader.

Sources: https://www.postgresql.org/docs/current/sql-altertable.html (its notes say what scans and what rewrites) and
https://www.postgresql.org/docs/current/explicit-locking.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["TABLE", "TableLock", "find_lock"]

TABLE = r'(?P<table>(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)'
COLUMN = r'(?:COLUMN\s+)?(?P<column>"[^"]+"|\w+)'

_ALTER = rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{TABLE}\s.*?"
_VOLATILE = r"(?:random|gen_random_uuid|uuid_generate_v\d\w*|uuidv7|clock_timestamp|timeofday|nextval)\s*\("


@dataclass(frozen=True, slots=True)
class TableLock:
    """What a statement would lock.

    Attributes:
        table: The table, as the statement writes it.
        column: The column, where it is about one.
        statement: The statement's beginning.
        why: What it makes others wait for.
        instead: How to come to the same without.
    """

    table: str
    column: str | None
    statement: str
    why: str
    instead: str

    def __str__(self) -> str:
        """Say what, why, and what to do instead."""
        return f"`{self.statement}` locks {self.table}: {self.why}. Instead: {self.instead}."


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    unless: str
    why: str
    instead: str


_IN_BATCHES = "in batches of some thousand rows, each with a commit of its own"
_RULES = (
    _Rule(
        rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s.*?\sON\s+(?:ONLY\s+)?{TABLE}",
        r"\sINDEX\s+CONCURRENTLY\s",
        "nobody can write to it until the index is built",
        "op.create_index(…, postgresql_concurrently=True, if_not_exists=True) within autocommit_block()",
    ),
    _Rule(
        rf"{_ALTER}ADD\s+(?:CONSTRAINT\s+\S+\s+)?(?:UNIQUE|PRIMARY\s+KEY|EXCLUDE)\b",
        r"\sUSING\s+INDEX\s",
        "nobody can read or write it until the constraint's index is built",
        "make the unique index concurrently, then ADD CONSTRAINT … USING INDEX",
    ),
    _Rule(
        rf"{_ALTER}ADD\s+(?:CONSTRAINT\s+\S+\s+)?FOREIGN\s+KEY\b",
        r"\sNOT\s+VALID\b",
        "nobody can write to it or to the table it refers to until every row is looked up",
        "op.create_foreign_key(…, postgresql_not_valid=True), then VALIDATE CONSTRAINT within autocommit_block()",
    ),
    _Rule(
        rf"{_ALTER}ADD\s+(?:CONSTRAINT\s+\S+\s+)?CHECK\b",
        r"\sNOT\s+VALID\b",
        "nobody can read or write it until every row is checked",
        "op.create_check_constraint(…, postgresql_not_valid=True), then VALIDATE CONSTRAINT within autocommit_block()",
    ),
    _Rule(
        rf"{_ALTER}ALTER\s+{COLUMN}\s+SET\s+NOT\s+NULL\b",
        "",
        "nobody can read or write it until every row is checked",
        "a constraint CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT within autocommit_block(), then "
        "SET NOT NULL, which reads nothing any more",
    ),
    _Rule(
        rf"{_ALTER}ALTER\s+{COLUMN}\s+(?:SET\s+DATA\s+)?TYPE\s",
        "",
        "nobody can read or write it until it is written anew, unless a text is only made longer",
        f"a new column of that type, filled {_IN_BATCHES}, and code that changes over to it",
    ),
    _Rule(
        rf"{_ALTER}ADD\s+{COLUMN}\s.*?(?:DEFAULT\s.*?{_VOLATILE}|\bSTORED\b|\bAS\s+IDENTITY\b|\b(?:BIG|SMALL)?SERIAL\b)",
        "",
        "nobody can read or write it until it is written anew, for each row gets a value of its own",
        f"the column without that default, filled {_IN_BATCHES}, and then the default",
    ),
    _Rule(
        rf"{_ALTER}SET\s+(?:UNLOGGED|LOGGED|TABLESPACE|ACCESS\s+METHOD)\b",
        "",
        "nobody can read or write it until it is written anew",
        "a new table, filled in batches",
    ),
    _Rule(
        rf"(?:VACUUM\s+\(?FULL\)?|CLUSTER(?:\s+VERBOSE)?|REINDEX\s+(?:\(\w+\)\s+)?TABLE)\s+{TABLE}",
        r"\sCONCURRENTLY\s",
        "nobody can read or write it until it is written anew",
        "REINDEX … CONCURRENTLY within autocommit_block(), or a tool such as pg_repack",
    ),
    _Rule(
        rf"(?:UPDATE\s+(?:ONLY\s+)?{TABLE}\s+SET|DELETE\s+FROM\s+(?:ONLY\s+)?(?P<emptied>\S+))\b",
        r"\sWHERE\s",
        "every row stays locked until the migration's end, and is written twice",
        f"do it {_IN_BATCHES}",
    ),
)
_COMPILED = [
    (re.compile(rule.pattern, re.IGNORECASE | re.DOTALL), re.compile(rule.unless or r"(?!)", re.IGNORECASE | re.DOTALL), rule)
    for rule in _RULES
]


def find_lock(statement: str) -> TableLock | None:
    """Return what a statement would lock for long were its table large; None for one that would not."""
    for pattern, unless, rule in _COMPILED:
        found = pattern.match(statement)
        if found is None or unless.search(f"{statement} "):
            continue
        named = found.groupdict()
        table = str(named["table"] or named.get("emptied")).rstrip(";")
        column = named.get("column")
        start = " ".join(statement.split())
        shown = start if len(start) <= 100 else f"{start[:99]}…"
        return TableLock(table, column and column.strip('"'), shown, rule.why, rule.instead)
    return None
