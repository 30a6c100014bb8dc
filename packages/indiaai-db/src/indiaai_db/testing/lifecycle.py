"""Promises D27 to D31: what a service holds on to, and from where it can be used."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text

from indiaai_core.testing.promises import promise
from indiaai_db.service import DatabaseService
from indiaai_db.testing.tables import create_tables, read_balance

__all__ = ["LifecyclePromises"]


class LifecyclePromises:
    """What a service promises about itself."""

    @promise("D27", "`check` passes on a database that serves, side by side with transactions, and leaves nothing behind.")
    async def test_check_passes_beside_an_open_transaction(self, service: DatabaseService) -> None:
        await create_tables(service)

        async with service.session() as session:
            await session.execute(text("UPDATE conformance_account SET balance = 5"))
            with anyio.fail_after(2):
                await service.check()

        assert await read_balance(service) == 5

    @promise("D28", "A service works from a second event loop, while the first one uses it and after the second ended.")
    async def test_service_works_from_a_second_loop(self, service: DatabaseService) -> None:
        await create_tables(service)

        for _ in range(2):
            assert await anyio.to_thread.run_sync(asyncio.run, read_balance(service)) == 0
            assert await read_balance(service) == 0

    @promise("D29", "A closed service has left no thread and no task; closing it again does nothing.")
    async def test_close_leaves_nothing(self, service: DatabaseService) -> None:
        threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
        await create_tables(service)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(read_balance(service))

        await service.aclose()
        await service.aclose()

        for thread in set(threading.enumerate()) - threads:
            thread.join(5)  # one that has said goodbye is counted until it is gone
        assert not set(threading.enumerate()) - threads
        assert asyncio.all_tasks() == tasks

    @promise("D30", "What was committed is there for the service that is opened next.")
    async def test_committed_data_is_there_after_close(self, service: DatabaseService) -> None:
        await create_tables(service)

        await service.aclose()

        assert await read_balance(service) == 0

    @promise("D31", "The engine is the running loop's, the same at every call, and asking without a loop is a RuntimeError.")
    async def test_engine_belongs_to_the_running_loop(self, service: DatabaseService) -> None:
        async def engine_here() -> object:
            return service.engine

        elsewhere = await anyio.to_thread.run_sync(asyncio.run, engine_here())

        assert service.engine is service.engine is service.client
        assert elsewhere is not service.engine
        with pytest.raises(RuntimeError):
            await anyio.to_thread.run_sync(lambda: service.engine)
