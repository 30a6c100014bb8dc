"""Migrations that would keep others from a large table are pointed out before they do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from typer.testing import CliRunner

from indiaai_db import MigrationWouldLock
from indiaai_db.commands import build_commands
from indiaai_db.locking.reader import LockReader
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.testing.migrations import FIRST, SECOND, write_application

INDEX = """
from alembic import op

revision, down_revision = "three", "one"

def upgrade():
    op.create_index("ix_name", "conformance_first", ["name"])
"""

GENTLE = """
from alembic import op

revision, down_revision = "three", "one"

def upgrade():
    op.execute("ALTER TABLE conformance_first ADD CONSTRAINT is_named CHECK (name IS NOT NULL) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE conformance_first VALIDATE CONSTRAINT is_named")
        op.create_index("ix_name", "conformance_first", ["name"], postgresql_concurrently=True)
    op.execute("ALTER TABLE conformance_first ALTER COLUMN name SET NOT NULL")
    op.execute("ALTER TABLE conformance_first ALTER COLUMN name TYPE VARCHAR(90)")
    op.execute("ALTER TABLE conformance_first ALTER COLUMN name TYPE TEXT")
"""

CHECKED = """
from alembic import op

revision, down_revision = "three", "two"

def upgrade():
    op.execute("ALTER TABLE conformance_first ALTER COLUMN name SET NOT NULL")
"""
VALIDATED = """
from alembic import op

revision, down_revision = "two", "one"

def upgrade():
    op.execute("ALTER TABLE conformance_first ADD CHECK (name IS NOT NULL)")
"""


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX ix_a ON t (a)",
        'CREATE UNIQUE INDEX "ix a" ON app."T t" USING gin (a)',
        "ALTER TABLE t ADD CONSTRAINT uq_t UNIQUE (a)",
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY(a) REFERENCES o (id) ON DELETE CASCADE",
        "ALTER TABLE ONLY t ADD CONSTRAINT ck CHECK (a > 0)",
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN a TYPE BIGINT USING a::bigint",
        "alter table t alter a set data type bigint",
        "ALTER TABLE t ADD COLUMN token UUID DEFAULT gen_random_uuid() NOT NULL",
        "ALTER TABLE t ADD COLUMN n BIGSERIAL NOT NULL",
        "ALTER TABLE t ADD COLUMN n INTEGER GENERATED ALWAYS AS (a + 1) STORED",
        "ALTER TABLE t SET UNLOGGED",
        "VACUUM (FULL) t",
        "REINDEX TABLE t",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
    ],
)
def test_a_statement_that_locks_is_found_with_its_table_and_what_to_do(statement: str) -> None:
    """What it locks, why, and the way without are all said."""
    found = LockReader().read(statement)

    assert found is not None
    assert found.table in ("t", 'app."T t"')
    assert f"locks {found.table}: {found.why}. Instead: {found.instead}." in str(found)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_a ON t (a)",
        "ALTER TABLE t ADD CONSTRAINT uq_t UNIQUE USING INDEX ix_a",
        "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY(a) REFERENCES o (id) NOT VALID",
        "ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID",
        "ALTER TABLE t VALIDATE CONSTRAINT ck",
        "ALTER TABLE t ADD COLUMN a TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
        "ALTER TABLE t ADD COLUMN a INTEGER DEFAULT '0' NOT NULL",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "UPDATE t SET a = 1 WHERE id < 1000",
        "CREATE TABLE t (a INTEGER UNIQUE)",
        "INSERT INTO t VALUES ('CREATE INDEX ix ON t (a)')",
        "SELECT 1",
    ],
)
def test_a_statement_that_locks_nothing_for_long_is_let_pass(statement: str) -> None:
    """Nobody is bothered with what takes a moment however large the table is."""
    assert LockReader().read(statement) is None


def test_what_a_statement_locks_depends_on_those_before_it() -> None:
    """A table that was just made is empty, a validation under the ALTER's own lock is none, a checked column is known."""
    reader = LockReader()

    made = [reader.read(line) for line in ("CREATE TABLE new (a INTEGER)", "CREATE INDEX ix ON new (a)")]
    reader.read("ALTER TABLE t ADD CONSTRAINT ck CHECK (a IS NOT NULL) NOT VALID")
    late = reader.read("ALTER TABLE t VALIDATE CONSTRAINT ck")
    reader.read("COMMIT")
    gentle = [
        reader.read(line) for line in ("ALTER TABLE t VALIDATE CONSTRAINT ck", "ALTER TABLE t ALTER COLUMN a SET NOT NULL")
    ]

    assert made == gentle == [None, None]
    assert late is not None
    assert "in this transaction" in late.why


@pytest.fixture
async def service(postgresql_url: str) -> AsyncIterator[PostgresqlDatabaseService]:
    """An open service on an empty PostgreSQL."""
    async with PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(postgresql_url))) as service:
        yield service


@pytest.fixture
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indiaai_db.locking.watch.LARGE_BYTES", 1)


async def revisions(service: PostgresqlDatabaseService) -> list[str]:
    """Return what the database is at."""
    async with service.session(read_only=True) as session:
        return list(await session.scalars(text("SELECT version_num FROM alembic_version")))


@pytest.mark.anyio
@pytest.mark.usefixtures("_everything_is_large")
@pytest.mark.parametrize("source", [INDEX, SECOND.replace('"two"', '"three"')])
async def test_upgrade_refuses_to_lock_a_large_table(service: PostgresqlDatabaseService, tmp_path: Path, source: str) -> None:
    """Nothing of it is done, and the error names revision, table and the way without."""
    config = write_application(tmp_path, FIRST, source)
    await service.upgrade("one", config=config)

    with pytest.raises(MigrationWouldLock, match=r"(?s)revision three: .*conformance_first.*Instead.*accepts_locks"):
        await service.upgrade(config=config)

    assert await revisions(service) == ["one"]


@pytest.mark.anyio
async def test_upgrade_locks_a_small_table_without_a_word(service: PostgresqlDatabaseService, tmp_path: Path) -> None:
    """What takes milliseconds is no matter."""
    config = write_application(tmp_path, FIRST, INDEX)
    await service.upgrade("one", config=config)

    await service.upgrade(config=config)

    assert await revisions(service) == ["three"]


@pytest.mark.anyio
@pytest.mark.usefixtures("_everything_is_large")
@pytest.mark.parametrize("source", [INDEX.replace("def upgrade", "accepts_locks = True\n\ndef upgrade"), GENTLE])
async def test_upgrade_does_what_is_accepted_and_what_locks_nothing(
    service: PostgresqlDatabaseService, tmp_path: Path, source: str
) -> None:
    """A revision says that its locks are meant, or does it the way that the error tells."""
    config = write_application(tmp_path, FIRST, source)
    await service.upgrade("one", config=config)

    await service.upgrade(config=config)

    assert await revisions(service) == ["three"]


@pytest.mark.anyio
async def test_what_an_earlier_run_checked_is_not_read_again(
    service: PostgresqlDatabaseService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SET NOT NULL takes a moment where a validated constraint proves it."""
    config = write_application(tmp_path, FIRST, VALIDATED, CHECKED)
    await service.upgrade("two", config=config)
    monkeypatch.setattr("indiaai_db.locking.watch.LARGE_BYTES", 1)

    await service.upgrade(config=config)

    assert await revisions(service) == ["three"]


@pytest.mark.usefixtures("_everything_is_large")
def test_an_operator_may_accept_locks(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--accept-locks` runs what would be refused."""
    monkeypatch.setenv("DATABASE_TYPE", "postgresql")
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    write_application(tmp_path, FIRST, INDEX)

    results = [
        CliRunner().invoke(build_commands(), line.split()) for line in ("upgrade one", "upgrade", "upgrade --accept-locks")
    ]

    assert [result.exit_code for result in results] == [0, 1, 0]
    assert "ix_name" in results[1].output


def test_check_points_out_on_the_laptop_what_production_would_lock(tmp_path: Path) -> None:
    """On SQLite too, and before the database is at that revision; a revision that accepts its locks is passed over."""
    write_application(tmp_path, FIRST, INDEX)
    first = CliRunner().invoke(build_commands(), ["check"])
    write_application(tmp_path, FIRST, INDEX.replace("def upgrade", "accepts_locks = True\n\ndef upgrade"))
    CliRunner().invoke(build_commands(), ["upgrade"])
    second = CliRunner().invoke(build_commands(), ["check"])

    assert first.exit_code == 1
    assert "revision three: `CREATE INDEX ix_name ON conformance_first (name)` locks conformance_first" in first.output
    assert "locks" not in second.output


def test_check_passes_over_what_a_postgresql_has_behind_it(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is still to come is pointed out."""
    monkeypatch.setenv("DATABASE_TYPE", "postgresql")
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    write_application(tmp_path, FIRST, INDEX)

    outputs = [CliRunner().invoke(build_commands(), [line]).output for line in ("check", "upgrade", "check")]

    assert "locks conformance_first" in outputs[0]
    assert "locks" not in outputs[2]
