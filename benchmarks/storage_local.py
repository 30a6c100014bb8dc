"""What the backend `local` makes of a disk, beside its peers: small objects new and over older ones, cached reads, streams.

Each contender has a process and a fresh folder of its own in every round, and takes its turn at each cell in shuffled order.
File systems remember: figures of writing count only with fixed numbers of objects, with nothing deleted while the run lasts,
and with everything synchronised before each turn, all of which is done here. The tables give medians; the aims are checked on
ratios taken inside each turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from storage.folder_worker import serve_folder
from storage.folders import FOLDERS
from storage.rounds import Cell, run_phase
from storage.samples import Samples
from storage.tables import Column, Verdict, median_columns, median_of, print_table, print_verdicts, ratio_columns

US, WITHOUT_FSYNC = "indiaai", "indiaai, fsync off"
AT_ONCE = (1, 16, 64)
TURNS = 3
LEVEL = 0.95  # what counts as level with a peer, given the noise
NOT_DURABLE = ("threads", "aiofiles", "anyio", "obstore")  # and atomic, as ours is
STREAMED = ("indiaai", "threads", "aiofiles", "anyio", "obstore", "opendal", "fsspec in threads")
QUICK = ("indiaai", "indiaai, fsync off", "threads", "threads, fsync + dir", "obstore", "opendal", "opendal, atomic")
STALL_MS, MEMORY_MIB = 5.0, 24.0


def puts(samples: Samples, asked: argparse.Namespace, root: str) -> None:
    """Small objects, stored."""
    cells: list[Cell] = [{"name": "fill", "do": "fill"}]
    cells += [{"name": f"put{n}", "do": "put", "at_once": n, "count": asked.count} for n in AT_ONCE]
    cells.append({"name": "over16", "do": "overwrite", "at_once": 16, "count": asked.count})
    for _ in range(asked.rounds):
        _run(samples, asked, phase="put", cells=cells, root=root, contenders=asked.contenders)
    names = [cell["name"] for cell in cells[1:]]
    rows = samples.contenders("put", among=asked.contenders)
    notes = [Column(note, median_of(samples, "put", cell="start", field=note)) for note in ("atomic", "fsync")]
    title = f"4 KiB stored, {asked.count} a turn, median of {samples.rounds('put')}"
    print_table(
        f"{title}: calls a second", rows=rows, columns=[*notes, *median_columns(samples, "put", cells=names, field="rate")]
    )
    print_table(
        f"{title}: over opendal's, atomic",
        rows=rows,
        columns=ratio_columns(samples, "put", cells=names, peer="opendal, atomic"),
    )
    print_table(
        f"{title}: own stall, ms", rows=rows, columns=median_columns(samples, "put", cells=names, field="own_ms", digits=1)
    )
    print_verdicts(samples, "put", _put_verdicts(samples, names))


def _put_verdicts(samples: Samples, names: Iterable[str]) -> Iterable[Verdict]:
    for name in names:
        durable = samples.ratio("put", name, contender=US, peer="opendal, atomic", field="rate")
        yield Verdict(f"{name}: durable, rate over opendal's, atomic", durable, at_least=1.2)
        best = samples.best("put", name, among=NOT_DURABLE, field="rate") or "nobody"
        fast = samples.ratio("put", name, contender=WITHOUT_FSYNC, peer=best, field="rate")
        yield Verdict(f"{name}: fsync off, rate over the best peer's ({best})", fast, at_least=LEVEL)


def gets(samples: Samples, asked: argparse.Namespace, root: str) -> None:
    """Small objects, read from the page cache."""
    cells: list[Cell] = [{"name": "fill", "do": "fill"}]
    cells += [{"name": f"get{n}", "do": "get", "at_once": n, "seconds": 0.25, "turns": TURNS} for n in AT_ONCE]
    contenders = [name for name in asked.contenders if name in STREAMED]
    for _ in range(asked.rounds):
        _run(samples, asked, phase="get", cells=cells, root=root, contenders=contenders)
    names = [cell["name"] for cell in cells[1:]]
    rows = samples.contenders("get", among=contenders)
    title = f"4 KiB read, cached, median of {samples.rounds('get') * TURNS}"
    print_table(f"{title}: calls a second", rows=rows, columns=median_columns(samples, "get", cells=names, field="rate"))
    print_table(f"{title}: over threads'", rows=rows, columns=ratio_columns(samples, "get", cells=names, peer="threads"))
    print_table(
        f"{title}: own stall, ms", rows=rows, columns=median_columns(samples, "get", cells=names, field="own_ms", digits=1)
    )
    print_verdicts(samples, "get", _get_verdicts(samples, names))


def _get_verdicts(samples: Samples, names: Iterable[str]) -> Iterable[Verdict]:
    for name in names:
        for peer, least in (("threads", 2.5), ("obstore", 10.0), ("opendal", 10.0)):
            found = samples.ratio("get", name, contender=US, peer=peer, field="rate")
            yield Verdict(f"{name}: rate over that of {peer}", found, at_least=least)
        stall = samples.median("get", name, contender=US, field="own_ms")
        yield Verdict(f"{name}: longest stall of its own making, ms", stall, at_most=STALL_MS)


def streams(samples: Samples, asked: argparse.Namespace, root: str) -> None:
    """One large object, stored and read."""
    cells: list[Cell] = [
        {"name": "write", "do": "write", "mib": asked.mib, "patience_seconds": 300},
        {"name": "read", "do": "drain", "mib": asked.mib, "turns": TURNS, "patience_seconds": 300},
    ]
    contenders = [name for name in asked.contenders if name in STREAMED]
    _run(samples, asked, phase="stream", cells=cells, root=root, contenders=contenders)
    rows = samples.contenders("stream", among=contenders)
    fields = (("mib_s", "MiB/s", 0), ("peak_mib", "peak MiB", 1), ("own_ms", "own stall ms", 1))
    for cell in cells:
        columns = [
            Column(heading, median_of(samples, "stream", cell=cell["name"], field=field), digits)
            for field, heading, digits in fields
        ]
        print_table(f"{asked.mib} MiB, {cell['name']}, median of {cell.get('turns', 1)}", rows=rows, columns=columns)
    print("  (writing is the disk's write-back, and no ranking)")
    rate = samples.ratio("stream", "read", contender=US, peer="threads", field="mib_s")
    verdicts = [Verdict("read: rate over that of threads", rate, at_least=0.9)]
    for cell in cells:
        memory = samples.median("stream", cell["name"], contender=US, field="peak_mib")
        verdicts.append(Verdict(f"{cell['name']}: peak memory above idle, MiB", memory, at_most=MEMORY_MIB))
    print_verdicts(samples, "stream", verdicts)


def _run(
    samples: Samples, asked: argparse.Namespace, *, phase: str, cells: list[Cell], root: str, contenders: list[str]
) -> None:
    options = {"root": root}
    run_phase(samples, phase=phase, script=__file__, contenders=contenders, cells=cells, options=options, before=os.sync)


PHASES = {"put": puts, "get": gets, "stream": streams}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=500, help="how many objects a turn stores")
    parser.add_argument("--mib", type=int, default=1024, help="the length of the streamed object")
    parser.add_argument("--quick", action="store_true", help="two rounds, and only the contenders that an aim names")
    parser.add_argument("--phases", nargs="*", choices=list(PHASES), default=list(PHASES))
    parser.add_argument("--contenders", nargs="*", choices=list(FOLDERS), default=[])
    parser.add_argument("--folder", help="where on the disk to measure; the system's temporary folder if not given")
    parser.add_argument("--json", type=Path, help="a file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.contenders = asked.contenders or (list(QUICK) if asked.quick else list(FOLDERS))
    asked.rounds = min(asked.rounds, 2) if asked.quick else asked.rounds
    return asked


def main() -> None:
    """Run the phases and print their tables; or, as a worker, be one contender."""
    asked = arguments()
    if asked.worker:
        asyncio.run(serve_folder(asked.worker, asked.options))
        return
    samples = Samples()
    with tempfile.TemporaryDirectory(dir=asked.folder) as root:
        for name in asked.phases:
            PHASES[name](samples, asked, root)
    if asked.json:
        asked.json.write_text(json.dumps(samples.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
