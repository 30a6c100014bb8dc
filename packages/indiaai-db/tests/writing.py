"""What the processes do that the tests of SQLite start; imported by those processes too, so it must stay light."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

from sqlalchemy import BigInteger, Column, MetaData, Table, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core import Platform
from indiaai_db import DatabaseService
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings

# The suite's own model of it would load pytest in every process.
ACCOUNT = Table("conformance_account", MetaData(), Column("id", BigInteger, primary_key=True), Column("balance", BigInteger))


def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that has nothing of this one: forked from a server that has imported the most of it, if that can be."""
    context: Any = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        # pytest too, for each process imports the main module of this one.
        context.set_forkserver_preload(["pytest", "aiosqlite", "indiaai_db.migrations", "indiaai_db.sqlite"])
    process: BaseProcess = context.Process(target=function, args=arguments)
    process.start()
    return process


async def add_one(session: AsyncSession) -> None:
    """Read, change and write the account's balance."""
    balance = (await session.scalars(select(ACCOUNT.c.balance))).one()
    await session.execute(update(ACCOUNT).values(balance=balance + 1))


async def add(service: SqliteDatabaseService, times: int) -> None:
    """Add one so many times, each in a transaction of its own."""
    for _ in range(times):
        await service.run(add_one)


def add_in_process(path: Path, times: int) -> None:
    """Add with a service of the process's own."""

    async def main() -> None:
        async with SqliteDatabaseService(SqliteSettings(db_path=path)) as service:
            await add(service, times)

    asyncio.run(main())


def add_until_killed(path: Path, acknowledgements: Path) -> None:
    """Add for ever, and write a byte down for every addition that was acknowledged."""

    async def main() -> None:
        service = SqliteDatabaseService(SqliteSettings(db_path=path))
        with acknowledgements.open("ab", buffering=0) as file:
            while True:
                await service.run(add_one)
                file.write(b"1")

    asyncio.run(main())


def upgrade_in_process(variables: dict[str, str], config: Path) -> None:
    """Migrate the database that variables select, with a platform of the process's own."""

    async def main() -> None:
        async with cast(DatabaseService, Platform(variables).get_service("database")) as service:
            await service.upgrade(config=config)

    asyncio.run(main())


class Unwanted(Exception):
    """What makes a writer roll back."""


def write_numbers_until_killed(path: Path, log: Path, writer: int) -> None:
    """Write numbers for ever, and say of each that it was begun, and then that it was committed, undone, or what went wrong."""

    async def write(session: AsyncSession, number: int) -> None:
        await session.execute(text("INSERT INTO numbers VALUES (:writer, :number)"), {"writer": writer, "number": number})
        if number % 10 == 9:
            raise Unwanted

    async def main() -> None:
        service = SqliteDatabaseService(SqliteSettings(db_path=path))
        with log.open("ab", buffering=0) as file:
            async with service.session() as session:
                await session.execute(
                    text("CREATE TABLE IF NOT EXISTS numbers (writer INT, number INT, UNIQUE (writer, number))")
                )
            for number in itertools.count():
                file.write(f"begun {number}\n".encode())
                try:
                    if number % 2:
                        await service.run(partial(write, number=number))
                    else:
                        async with service.session() as session:
                            await write(session, number)
                except Unwanted:
                    file.write(f"undone {number}\n".encode())
                except Exception as error:  # noqa: BLE001 - whatever reaches a user is to be told
                    file.write(f"{type(error).__name__}: {error}\n".encode())
                else:
                    file.write(f"committed {number}\n".encode())

    asyncio.run(main())


def write_with_little_room(path: Path, limit_bytes: int, log: Path) -> None:
    """Write 100 numbers while no file may be longer than a limit, then one more, and say what came of it as JSON."""
    import resource  # which Windows has not

    said: dict[str, Any] = {"committed": [], "errors": []}

    async def write(service: SqliteDatabaseService, number: int) -> None:
        try:
            async with service.session() as session:
                await session.execute(text("INSERT INTO numbers VALUES (:number, randomblob(100000))"), {"number": number})
        except Exception as error:  # noqa: BLE001 - whatever reaches a user is to be told
            said["errors"].append(f"{type(error).__name__}: {error}")
        else:
            said["committed"].append(number)

    async def main() -> None:
        async with SqliteDatabaseService(SqliteSettings(db_path=path)) as service:
            await service.check()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))  # Python ignores the signal
            for number in range(100):
                await write(service, number)
            async with service.session(read_only=True) as session:
                said["read"] = [*await session.scalars(text("SELECT number FROM numbers WHERE number >= 0 ORDER BY number"))]
            said["sizes"] = [path.stat().st_size, path.with_name(f"{path.name}-wal").stat().st_size]
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await write(service, 100)

    asyncio.run(main())
    log.write_text(json.dumps(said))
