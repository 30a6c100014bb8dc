"""What the backend `postgresql` says of a COMMIT whose answer was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cutting import CommitCutter, Cut
from indiaai_db import CommitUnknown, TransactionConflict
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.postgresql.verdict import find_fate, mark
from indiaai_db.testing.tables import Account, create_tables, read_balance

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cutter(postgresql_url: str) -> AsyncIterator[CommitCutter]:
    """A network that can be cut, before an empty database."""
    async with CommitCutter(postgresql_url).serving() as cutter:
        yield cutter


@pytest.fixture
async def service(cutter: CommitCutter) -> AsyncIterator[PostgresqlDatabaseService]:
    """An open service behind that network, with one account of balance 0, which checks every commit."""
    async with new_service(cutter, "always") as service:
        await create_tables(service)
        yield service


def new_service(cutter: CommitCutter, check_commits: str) -> PostgresqlDatabaseService:
    """Return a service behind the network."""
    settings = PostgresqlSettings.model_validate({"url": SecretStr(cutter.url), "check_commits": check_commits})
    return PostgresqlDatabaseService(settings)


async def add_one(session: AsyncSession) -> int:
    """Read, change, and tell the new balance."""
    account = await session.get_one(Account, 1)
    account.balance += 1
    return account.balance


async def test_run_repeats_a_commit_that_never_arrived(cutter: CommitCutter, service: PostgresqlDatabaseService) -> None:
    """What was rolled back is done again, once."""
    cutter.cut = Cut.BEFORE_COMMIT

    balance = await service.run(add_one)

    assert (cutter.count, balance, await read_balance(service)) == (1, 1, 1)


async def test_run_returns_the_result_of_a_commit_whose_answer_was_lost(
    cutter: CommitCutter, service: PostgresqlDatabaseService
) -> None:
    """What was committed is not done again."""
    cutter.cut = Cut.AFTER_COMMIT

    balance = await service.run(add_one)

    assert (cutter.count, balance, await read_balance(service)) == (1, 1, 1)


async def test_who_asks_what_became_of_a_commit_may_be_cut_off_too(
    cutter: CommitCutter, service: PostgresqlDatabaseService
) -> None:
    """The network that lost the answer loses the next ones as well: the question is asked again."""
    cutter.cut, cutter.questions_to_cut = Cut.AFTER_COMMIT, 3

    balance = await service.run(add_one)

    assert (cutter.questions_to_cut, cutter.count, balance, await read_balance(service)) == (0, 1, 1, 1)


async def test_a_session_ends_well_if_its_commit_is_there(cutter: CommitCutter, service: PostgresqlDatabaseService) -> None:
    """Nobody hears of an answer that was only lost."""
    cutter.cut = Cut.AFTER_COMMIT

    async with service.session() as session:
        await add_one(session)

    assert (cutter.count, await read_balance(service)) == (1, 1)


async def test_a_session_that_was_rolled_back_says_that_nothing_is_there(
    cutter: CommitCutter, service: PostgresqlDatabaseService
) -> None:
    """It may be done again whole."""
    cutter.cut = Cut.BEFORE_COMMIT

    with pytest.raises(TransactionConflict, match="during COMMIT, and the transaction was rolled back"):
        async with service.session() as session:
            await add_one(session)

    assert (cutter.count, await read_balance(service)) == (1, 0)


async def test_a_transaction_that_wrote_nothing_may_be_repeated(
    cutter: CommitCutter, service: PostgresqlDatabaseService
) -> None:
    """There is nothing that could have been committed."""
    cutter.cut = Cut.AFTER_COMMIT

    seen = await service.run(lambda session: session.scalar(text("SELECT 7")))

    assert (cutter.count, seen) == (1, 7)


@pytest.mark.parametrize("cut", Cut)
async def test_unless_every_commit_is_checked_a_session_says_that_it_does_not_know(
    cutter: CommitCutter, service: PostgresqlDatabaseService, cut: Cut
) -> None:
    """By default only `run` spends a round trip on it."""
    async with new_service(cutter, "run") as other:
        cutter.cut = cut

        with pytest.raises(CommitUnknown):
            async with other.session() as session:
                await add_one(session)

    assert cutter.count == 1


async def test_of_a_server_that_was_started_anew_nobody_knows(service: PostgresqlDatabaseService) -> None:
    """It may have lost the transaction's id, and given it to another, also before its first checkpoint."""
    async with service.session() as session:
        await add_one(session)
        found = await mark(session)

    assert await find_fate(found, service.engine) is True
    assert await find_fate(replace(found, server_started="2026-01-01 00:00:00+00"), service.engine) is None


async def test_after_a_checkpoint_nobody_knows(cutter: CommitCutter, service: PostgresqlDatabaseService) -> None:
    """The server may have crashed and given the transaction's id to another: no verdict is better than a wrong one."""
    cutter.cut, cutter.statement = Cut.AFTER_COMMIT, "CHECKPOINT"

    with pytest.raises(CommitUnknown):
        await service.run(add_one)

    assert await read_balance(service) == 1
