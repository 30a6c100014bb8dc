"""Promises D01 to D15: what a transaction leaves behind, and what it sees of others."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core.errors import BackendUnavailable
from indiaai_core.testing.promises import promise
from indiaai_db.errors import ReadOnlySession, TransactionConflict
from indiaai_db.service import DatabaseService
from indiaai_db.testing.tables import Account, Entry, create_tables, read_balance

__all__ = ["TransactionPromises"]


async def _add_one(session: AsyncSession) -> None:
    account = await session.get_one(Account, 1)
    await anyio.sleep(0.001)  # lets the others in between the read and the write
    account.balance += 1


class TransactionPromises:
    """What `session` and `run` promise."""

    @promise("D01", "What a session did is there after its block.")
    async def test_session_commits_at_the_end_of_its_block(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with service.session() as session:
            session.add(Account(id=2, balance=7))

        assert await read_balance(service, 2) == 7

    @promise("D02", "A session whose block raises leaves nothing behind, and the error comes out as it is.")
    async def test_session_rolls_back_when_its_block_raises(self, service: DatabaseService) -> None:
        await create_tables(service)
        error = LookupError("mine")

        async def fail() -> None:
            async with service.session() as session:
                session.add(Account(id=2))
                await session.flush()
                raise error

        with pytest.raises(LookupError) as raised:
            await fail()

        assert raised.value is error
        assert await read_balance(service, 2) is None

    @promise("D03", "A cancelled block leaves nothing behind and gives its connection back.")
    async def test_cancelled_session_rolls_back_and_frees_its_connection(self, service: DatabaseService) -> None:
        await create_tables(service)

        for _ in range(25):  # more than any default pool holds
            with anyio.move_on_after(0.01):
                async with service.session() as session:
                    await session.execute(update(Account).values(balance=9))
                    await anyio.sleep_forever()

        with anyio.fail_after(5):
            assert await read_balance(service) == 0
            await service.run(_add_one)

    @promise("D04", "Objects stay readable after their session's block.")
    async def test_objects_stay_readable_after_the_block(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with service.session() as session:
            account = Account(id=2, balance=7)
            session.add(account)

        assert (account.id, account.balance) == (2, 7)

    @promise("D05", "A read-only session reads what was committed before it.")
    async def test_read_only_session_reads_what_was_committed(self, service: DatabaseService) -> None:
        await create_tables(service)
        await service.run(_add_one)

        async with service.session(read_only=True) as session:
            balances = (await session.scalars(select(Account.balance))).all()

        assert balances == [1]

    @promise("D06", "A read-only session refuses new and changed objects with ReadOnlySession, unless they are dropped.")
    async def test_read_only_session_refuses_changed_objects(self, service: DatabaseService) -> None:
        await create_tables(service)

        with pytest.raises(ReadOnlySession):
            async with service.session(read_only=True) as session:
                session.add(Account(id=2))
        with pytest.raises(ReadOnlySession):
            await service.run(_add_one, read_only=True)

        assert await read_balance(service) == 0
        assert await read_balance(service, 2) is None

    @promise("D07", "A read-only session refuses a statement that writes with ReadOnlySession.")
    async def test_read_only_session_refuses_a_statement_that_writes(self, service: DatabaseService) -> None:
        await create_tables(service)

        for statement in (update(Account).values(balance=9), text("DELETE FROM conformance_account")):
            with pytest.raises(ReadOnlySession):
                async with service.session(read_only=True) as session:
                    await session.execute(statement)

        assert await read_balance(service) == 0

    @promise("D08", "A read-only session waits for no writer, and sees nothing of what is not committed.")
    async def test_read_only_session_does_not_wait_for_a_writer(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with service.session() as session:
            await session.execute(update(Account).values(balance=9))
            with anyio.fail_after(2):
                seen = await read_balance(service)

        assert seen == 0
        assert await read_balance(service) == 9

    @promise("D09", "A session sees one snapshot: what others commit meanwhile does not change what it reads.")
    async def test_session_sees_one_snapshot(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with service.session(read_only=True) as session:
            first = await session.scalar(select(Account.balance))
            await service.run(_add_one)
            second = await session.scalar(select(Account.balance))

        assert (first, second) == (0, 0)
        assert await read_balance(service) == 1

    @promise("D10", "`run` commits what the function did and returns what it returned.")
    async def test_run_commits_and_returns_the_result(self, service: DatabaseService) -> None:
        await create_tables(service)

        async def rename(session: AsyncSession) -> str:
            session.add(Account(id=2, balance=7))
            return "result"

        result = await service.run(rename)

        assert result == "result"
        assert await read_balance(service, 2) == 7

    @promise("D11", "Values that are read, changed and written in `run` by many at once lose no update.")
    async def test_run_loses_no_update(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(service.run(_add_one))

        assert await read_balance(service) == 30

    @promise("D12", "`run` calls the function once if the function's own error ends it, and raises that error.")
    async def test_run_does_not_retry_the_functions_own_error(self, service: DatabaseService) -> None:
        await create_tables(service)
        calls = []

        async def fail(session: AsyncSession) -> None:
            calls.append(session)
            session.add(Account(id=1))
            await session.flush()

        with pytest.raises(IntegrityError):
            await service.run(fail)

        assert len(calls) == 1

    @promise("D13", "`run` repeats a transaction that loses its conflicts until its time is over, and says so.")
    async def test_run_says_when_it_gives_up(self, service: DatabaseService) -> None:
        await create_tables(service)
        calls = []

        async def lose(session: AsyncSession) -> None:
            calls.append(session)
            session.add(Account(id=2))
            await session.flush()
            raise TransactionConflict("lost")

        started = time.monotonic()
        with pytest.raises(TransactionConflict, match="Gave up after") as raised:
            await service.run(lose, timeout_seconds=0.3)

        assert time.monotonic() - started < 2
        assert raised.value.attempts == len(calls) > 1
        assert isinstance(raised.value, BackendUnavailable)
        assert await read_balance(service, 2) is None

    @promise("D14", "A session never overwrites unseen what another changed: it is right, or ends with TransactionConflict.")
    async def test_sessions_at_once_lose_no_acknowledged_update(self, service: DatabaseService) -> None:
        await create_tables(service)
        acknowledged = []

        async def add_one() -> None:
            try:
                async with service.session() as session:
                    await _add_one(session)
            except TransactionConflict:
                return
            acknowledged.append(True)

        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(add_one())

        assert acknowledged
        assert await read_balance(service) == len(acknowledged)

    @promise("D15", "A row that refers to no row is refused with IntegrityError, and nothing of its transaction is there.")
    async def test_foreign_keys_are_enforced(self, service: DatabaseService) -> None:
        await create_tables(service)

        with pytest.raises(IntegrityError):
            async with service.session() as session:
                session.add_all([Account(id=2), Entry(account_id=404)])

        assert await read_balance(service, 2) is None
