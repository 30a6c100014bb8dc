"""What the database layer costs and bears: sessions beside plain SQLAlchemy, writing processes, requests, the copy.

Sessions: each contender has a process of its own, and all take turns at each cell in shuffled order. `same settings` is
SQLAlchemy with everything set by hand that ours sets (WAL, NORMAL, BEGIN IMMEDIATE; on PostgreSQL REPEATABLE READ, pre-ping,
no prepared statements, as a pooler needs it); `defaults` is SQLAlchemy as it comes, which promises less. The tables give
medians; the aims are checked on ratios taken inside each turn. Clients and server share the machine's processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from databases.copies import WAYS, fill
from databases.requests import APPLICATIONS, BY_HAND, EXAMPLE_NAME, JOB, ask, serving
from databases.session_worker import serve_sessions
from databases.sessions import CONTENDERS, DEFAULTS, PREPARED, SAME, SAME_PREPARED, STATEMENTS, US, WRITERS, prepare
from databases.writers import write_at_once
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing import PostgresqlServer
from storage.rounds import Cell, run_phase
from storage.samples import Samples
from storage.tables import Verdict, median_columns, print_table, print_verdicts, ratio_columns

AT_ONCE = (1, 16, 64)
PROCESSES = 8
AT_MOST_5_PERCENT_MORE = 0.95


def sessions(samples: Samples, asked: argparse.Namespace, folder: Path, server: PostgresqlServer, *, dialect: str) -> None:
    """A row read, added, changed, in a session each."""
    phase = f"sessions, {dialect}"
    cells: list[Cell] = [
        {"name": f"{do} {n}", "do": do, "at_once": n, "seconds": asked.seconds, "turns": asked.turns}
        for do in STATEMENTS
        for n in AT_ONCE
    ]
    places = {name: place_of(dialect, name, folder, server) for name in CONTENDERS[dialect]}
    options = {"dialect": dialect, "places": places}
    for name, place in places.items():
        asyncio.run(make_tables(dialect, name, place))
    run_phase(samples, phase=phase, script=__file__, contenders=list(places), cells=cells, options=options)
    names = [cell["name"] for cell in cells]
    for title, field in (("sessions a second", "rate"), ("processor time, µs", "cpu_us"), ("failed", "failed")):
        print_table(f"{phase}: {title}", rows=list(places), columns=median_columns(samples, phase, cells=names, field=field))
    print_table(f"{phase}: over {SAME}", rows=list(places), columns=ratio_columns(samples, phase, cells=names, peer=SAME))
    pairs = [(US, SAME), (PREPARED, SAME_PREPARED)] if dialect == "postgresql" else [(US, SAME)]
    print_verdicts(samples, phase, [verdict for pair in pairs for verdict in session_verdicts(samples, phase, names, *pair)])


def session_verdicts(samples: Samples, phase: str, names: list[str], ours: str, peer: str) -> Iterator[Verdict]:
    """Give each cell's aim: at most 5 % more than the peer's."""
    for name in names:
        found = samples.ratio(phase, name, contender=ours, peer=peer, field="rate")
        yield Verdict(f"{name}: {ours} over {peer}", found, at_least=AT_MOST_5_PERCENT_MORE)


def place_of(dialect: str, name: str, folder: Path, server: PostgresqlServer) -> str:
    """Return the path or the URL of a contender's own database, a new one."""
    if dialect == "sqlite":
        return str(folder / f"{name}.db")
    database = f"bench_{random.getrandbits(32):08x}"
    asyncio.run(administer(server, f"CREATE DATABASE {database}"))
    return server.database_url(database)


async def administer(server: PostgresqlServer, statement: str) -> None:
    """Do what no transaction may hold."""
    url = server.url.replace("postgres://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def make_tables(dialect: str, name: str, place: str) -> None:
    """Make a contender's table."""
    opened = CONTENDERS[dialect][name](place)
    await prepare(opened)
    await opened.aclose()


def writers(samples: Samples, asked: argparse.Namespace, folder: Path, _: PostgresqlServer) -> None:
    """Processes that read, change and write one row of an SQLite file at once."""
    contenders = list(WRITERS)
    for number in range(asked.rounds):
        for name in random.sample(contenders, len(contenders)):
            path = folder / f"writers-{number}-{name}.db"
            figures = write_at_once(name, path, processes=PROCESSES, times=asked.times)
            samples.add("writers", "all", contender=name, figures=figures)
        samples.end_round("writers")
    fields = {"rate": "committed/s", "kept": "kept/s", "failed": "failed", "lost": "lost", "longest_ms": "longest wait, ms"}
    columns = [
        type(column)(heading, column.value)
        for field, heading in fields.items()
        for column in median_columns(samples, "writers", cells=["all"], field=field)
    ]
    title = f"{PROCESSES} processes × {asked.times} read-modify-write on SQLite, median of {asked.rounds}"
    print_table(title, rows=contenders, columns=columns)
    failed, lost = (samples.median("writers", "all", contender=US, field=field) for field in ("failed", "lost"))
    verdicts = [Verdict("failed", failed, at_most=0), Verdict("lost", lost, at_most=0)]
    for field, what in (("kept", "updates kept"), ("rate", "commits answered")):
        over = samples.ratio("writers", "all", contender=US, peer=DEFAULTS, field=field)
        verdicts.append(Verdict(f"{what} a second over {DEFAULTS}", over, at_least=3))
    print_verdicts(samples, "writers", verdicts)


def requests(samples: Samples, asked: argparse.Namespace, folder: Path, _: PostgresqlServer) -> None:
    """An endpoint with a session: of the example application, and written by hand."""
    place = folder / "application"
    place.mkdir()
    with ExitStack() as stack:
        ports = {}
        for name, application in APPLICATIONS.items():  # the example first: it makes the tables
            ports[name] = stack.enter_context(serving(application, place))
            asyncio.run(add_job(place / "bench.db"))
        for _turn in range(asked.turns):
            for n in AT_ONCE:
                for name in random.sample(list(ports), len(ports)):
                    figures = asyncio.run(ask(ports[name], at_once=n, seconds=asked.seconds))
                    samples.add("requests", f"{n}", contender=name, figures=figures)
            samples.end_round("requests")
    cells = [f"{n}" for n in AT_ONCE]
    columns = median_columns(samples, "requests", cells=cells, field="rate")
    print_table("GET /jobs/…, at once: requests a second", rows=list(ports), columns=columns)
    found = [
        Verdict(
            f"{cell} at once: over by hand",
            samples.ratio("requests", cell, contender=EXAMPLE_NAME, peer=BY_HAND, field="rate"),
            at_least=0.9,
        )
        for cell in cells
    ]
    print_verdicts(samples, "requests", found)


async def add_job(path: Path) -> None:
    """Put a finished job into the example's table, once."""
    async with SqliteDatabaseService(SqliteSettings(db_path=path)) as service, service.session() as session:
        await session.execute(
            text(
                "INSERT OR IGNORE INTO documents (id, name, media_type, size, state, job_id, task_id, facts, text, created_at) "
                "VALUES ('1', 'n', 'text/plain', 1, 'completed', :job, :job, :facts, 't', '2026-01-01 00:00:00.000000')"
            ),
            {"job": JOB, "facts": json.dumps({"kind": "text", "words": 7})},
        )


def copies(samples: Samples, asked: argparse.Namespace, folder: Path, server: PostgresqlServer) -> None:
    """A table from SQLite to PostgreSQL."""
    asyncio.run(run_copies(samples, asked, folder, place_of("postgresql", US, folder, server)))
    columns = [type(c)("rows/s", c.value) for c in median_columns(samples, "copies", cells=["all"], field="rate")]
    print_table(f"{asked.rows:,} rows of 8 columns from SQLite to PostgreSQL", rows=list(WAYS), columns=columns)
    rate = samples.median("copies", "all", contender=next(iter(WAYS)), field="rate")
    print_verdicts(samples, "copies", [Verdict("rows a second", rate, at_least=100_000)])


async def run_copies(samples: Samples, asked: argparse.Namespace, folder: Path, url: str) -> None:
    """Fill the source and copy it, by each way in turn."""
    async with (
        SqliteDatabaseService(SqliteSettings(db_path=folder / "copy.db")) as source,
        PostgresqlDatabaseService(PostgresqlSettings(url=SecretStr(url))) as target,
    ):
        await fill(source, asked.rows)
        for _ in range(asked.rounds):
            for name in random.sample(list(WAYS), len(WAYS)):
                samples.add("copies", "all", contender=name, figures=await WAYS[name](source, target))
            samples.end_round("copies")


Phase = Callable[[Samples, argparse.Namespace, Path, PostgresqlServer], None]
PHASES: Mapping[str, Phase] = {
    "sqlite": partial(sessions, dialect="sqlite"),
    "postgresql": partial(sessions, dialect="postgresql"),
    "writers": writers,
    "requests": requests,
    "copies": copies,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="how often each contender does each cell")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long it does so")
    parser.add_argument("--rounds", type=int, default=3, help="how often writers and copies are measured")
    parser.add_argument("--times", type=int, default=500, help="how many updates each writing process makes")
    parser.add_argument("--rows", type=int, default=500_000, help="how many rows are copied")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns, fewer rows")
    parser.add_argument("--phases", nargs="*", choices=list(PHASES), default=list(PHASES))
    parser.add_argument("--json", type=Path, help="a file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.quick:
        asked.turns, asked.seconds, asked.times, asked.rows = min(asked.turns, 5), 0.25, 200, 100_000
    return asked


def main() -> None:
    """Run the phases and print their tables; or, as a worker, be one contender."""
    asked = arguments()
    if asked.worker:
        asyncio.run(serve_sessions(asked.worker, asked.options))
        return
    samples = Samples()
    with tempfile.TemporaryDirectory() as root, PostgresqlServer() as server:
        for name in asked.phases:
            PHASES[name](samples, asked, Path(root), server)
    if asked.json:
        asked.json.write_text(json.dumps(samples.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
