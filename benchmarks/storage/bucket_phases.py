"""The phases of the benchmark on S3: which server, which cells, which table, and the aims that it answers.

Imported by `storage_r2`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from storage.buckets import COMPARED
from storage.meters import MIB
from storage.rounds import Cell, run_phase
from storage.samples import Samples
from storage.servers import ACCESS_KEY, BUCKET, SECRET_KEY, Certificate, distant, rclone, sink
from storage.tables import Column, Verdict, median_columns, median_of, print_table, print_verdicts, ratio_columns

__all__ = ["PHASES", "Setting"]

US = "indiaai"
AT_ONCE = (1, 16, 64)
TURNS = 3
LEVEL = 0.95  # what counts as level with a peer, given the noise
STALL_MS = 10.0
FILE_MIB, ITERATOR_MIB = 24.0, 16.0 * 4 + 16.0
LARGE = "4 GiB"
LARGE_CONTENDERS = ("indiaai", "indiaai on boto3", "boto3 in threads", "aiobotocore", "obstore", "opendal")


@dataclass(frozen=True)
class Setting:
    """What all phases of a run share."""

    script: str
    folder: Path
    contenders: Sequence[str]
    rounds: int
    seconds: float

    @property
    def turns(self) -> dict[str, float]:
        """How a cell's time is cut: short turns, so that contenders that are compared meet the same moment."""
        return {"turns": TURNS, "seconds": self.seconds / TURNS}

    @property
    def peers(self) -> list[str]:
        """The contenders that are not this project's."""
        return [name for name in self.contenders if not name.startswith(US)]

    @property
    def streaming(self) -> list[str]:
        """The contenders, and those of their kind that compare what they stream."""
        return [*self.contenders, *COMPARED]


Phase = Callable[[Samples, Setting], None]


def small_http(samples: Samples, setting: Setting) -> None:
    """Objects of 4 KiB over http."""
    _small(samples, setting, phase="small", certificate=None)


def small_tls(samples: Samples, setting: Setting) -> None:
    """Objects of 4 KiB over TLS, every client checking the certificate."""
    _small(samples, setting, phase="tls", certificate=Certificate(setting.folder))


def _small(samples: Samples, setting: Setting, *, phase: str, certificate: Certificate | None) -> None:
    counts = AT_ONCE[1:] if certificate else AT_ONCE
    cells: list[Cell] = [{"name": "fill", "do": "fill"}]
    for deed in ("put", "get"):
        cells += [{"name": f"{deed}{n}", "do": deed, "at_once": n, **setting.turns} for n in counts]
    with rclone(setting.folder / phase, certificate) as endpoint:
        target = _target(endpoint, certificate)
        for _ in range(setting.rounds):
            _run(samples, setting, phase=phase, cells=cells, target=target)
    names = [cell["name"] for cell in cells[1:]]
    rows = samples.contenders(phase, among=setting.contenders)
    title = f"4 KiB over {'TLS' if certificate else 'http'}, median of {samples.rounds(phase)}"
    print_table(f"{title}: calls a second", rows=rows, columns=median_columns(samples, phase, cells=names, field="rate"))
    for peer in ("aiobotocore", "obstore"):
        print_table(
            f"{title}: calls a second, over {peer}'s", rows=rows, columns=ratio_columns(samples, phase, cells=names, peer=peer)
        )
    for field, what in (("p50_ms", "half of the calls within, ms"), ("p99_ms", "99 % of the calls within, ms")):
        print_table(f"{title}: {what}", rows=rows, columns=median_columns(samples, phase, cells=names, field=field, digits=2))
    for field, what in _COSTS.items():
        print_table(f"{title}: {what}", rows=rows, columns=median_columns(samples, phase, cells=names, field=field, digits=1))
    print_verdicts(samples, phase, _small_verdicts(samples, phase, names))


def _small_verdicts(samples: Samples, phase: str, names: Iterable[str]) -> Iterable[Verdict]:
    for name in names:
        if name.endswith("1"):
            continue
        limit = 2.0 if name.startswith("put") else 4.0
        for peer, least in (("aiobotocore", limit), ("obstore", LEVEL)):
            found = samples.ratio(phase, name, contender=US, peer=peer, field="rate")
            yield Verdict(f"{name}: rate over {peer}'s", found, at_least=least)
        stall = samples.median(phase, name, contender=US, field="own_ms")
        yield Verdict(f"{name}: longest stall of its own making, ms", stall, at_most=STALL_MS)


def latency(samples: Samples, setting: Setting) -> None:
    """Objects of 4 KiB behind a round trip of 20 ms."""
    cells: list[Cell] = [{"name": "fill", "do": "fill"}]
    for deed in ("put", "get"):
        cells.append({"name": f"{deed}1", "do": deed, "at_once": 1, "count": 30})
        cells.append({"name": f"{deed}64", "do": deed, "at_once": 64, **setting.turns})
    with rclone(setting.folder / "latency") as endpoint, distant(endpoint, 20.0) as far:
        for _ in range(setting.rounds):
            _run(samples, setting, phase="latency", cells=cells, target=_target(far))
    rows = samples.contenders("latency", among=setting.contenders)

    def put_over_get(name: str) -> float | None:
        return samples.ratio("latency", "put1", contender=name, peer=name, field="p50_ms", peer_cell="get1")

    columns = [
        *median_columns(samples, "latency", cells=["put1", "get1"], field="p50_ms", digits=1, unit=" ms"),
        Column("put1/get1", put_over_get, 2),
        *median_columns(samples, "latency", cells=["put64", "get64"], field="rate", unit="/s"),
    ]
    print_table(f"4 KiB, 20 ms round trip, median of {samples.rounds('latency')}", rows=rows, columns=columns)
    print_verdicts(samples, "latency", [Verdict("PUT over GET, half of the calls within", put_over_get(US), at_most=1.1)])


def streams_http(samples: Samples, setting: Setting) -> None:
    """256 MiB up from a file, down, and up from an iterator, over http: signing then digests what is sent, where it does."""
    _streams(samples, setting, phase="256 MiB over http", certificate=None)


def streams_tls(samples: Samples, setting: Setting) -> None:
    """The same over TLS, as R2 is reached."""
    _streams(samples, setting, phase="256 MiB over TLS", certificate=Certificate(setting.folder))


def _streams(samples: Samples, setting: Setting, *, phase: str, certificate: Certificate | None) -> None:
    path, folder = setting.folder / "source", setting.folder / "streams"
    path.write_bytes(os.urandom(256 * MIB))
    with rclone(folder, certificate) as endpoint:
        for _ in range(setting.rounds):
            _transfers(samples, setting, target=_target(endpoint, certificate), path=path, phase=phase)
            shutil.rmtree(folder / BUCKET)
            (folder / BUCKET).mkdir()
    path.unlink()
    _print_transfers(samples, setting, phase=phase)


def large_http(samples: Samples, setting: Setting) -> None:
    """4 GiB of zeros up from a sparse file, down, and up from an iterator, over http; the server keeps none of it."""
    _large(samples, setting, phase=f"{LARGE} over http", certificate=None)


def large_tls(samples: Samples, setting: Setting) -> None:
    """The same over TLS, as R2 is reached."""
    _large(samples, setting, phase=f"{LARGE} over TLS", certificate=Certificate(setting.folder))


def _large(samples: Samples, setting: Setting, *, phase: str, certificate: Certificate | None) -> None:
    path = setting.folder.parent / f"{setting.folder.name}.large"
    with ExitStack() as stack:
        stack.callback(path.unlink)
        with path.open("wb") as file:
            file.truncate(4096 * MIB)
        target = _target(stack.enter_context(sink(certificate)), certificate)
        _transfers(samples, setting, target=target, path=path, phase=phase)
    _print_transfers(samples, setting, phase=phase)


def _transfers(samples: Samples, setting: Setting, *, target: dict[str, str], path: Path, phase: str) -> None:
    # A process for each transfer: memory that an earlier one left to the allocator would hide what the next one needs.
    size = path.stat().st_size
    is_large = phase.startswith(LARGE)
    among = [name for name in setting.streaming if not is_large or name in LARGE_CONTENDERS + COMPARED]
    for name, key in (("put_file", "file"), ("drain", "file"), ("put_chunks", "chunks")):
        cell = {
            "name": name,
            "do": name,
            "key": key,
            "path": str(path),
            "size": size,
            "patience_seconds": 60 + size / (20 * MIB),
        }
        _run(samples, setting, phase=f"{phase} {name}", cells=[cell], target=target, among=among)


def _print_transfers(samples: Samples, setting: Setting, *, phase: str) -> None:
    bound = {"put_file": FILE_MIB, "put_chunks": ITERATOR_MIB, "drain": FILE_MIB}
    titles = {"put_file": "up from a file", "drain": "down", "put_chunks": "up from an iterator"}
    for name, title in titles.items():
        one = f"{phase} {name}"
        rows = samples.contenders(one, among=setting.streaming)
        columns = [
            Column(heading, median_of(samples, one, cell=name, field=field), digits)
            for heading, field, digits in _TRANSFER_COLUMNS
        ]
        print_table(f"{phase} {title}, median of {samples.rounds(one)}", rows=rows, columns=columns)
        verdicts = []
        for peers, what in ((setting.peers, "best peer's"), (COMPARED, "best's that compares")):
            best = samples.best(one, name, among=peers, field="mib_s") or "nobody"
            rate = samples.ratio(one, name, contender=US, peer=best, field="mib_s")
            verdicts.append(Verdict(f"{title}: rate over the {what} ({best})", rate, at_least=1.0))
        memory = samples.median(one, name, contender=US, field="peak_mib")
        verdicts.append(Verdict(f"{title}: peak memory above idle, MiB", memory, at_most=bound[name]))
        stall = samples.median(one, name, contender=US, field="own_ms")
        verdicts.append(Verdict(f"{title}: longest stall of its own making, ms", stall, at_most=STALL_MS))
        print_verdicts(samples, one, verdicts)


def presign(samples: Samples, setting: Setting) -> None:
    """Signed URLs; nothing is sent."""
    cells = [{"name": "sign", "do": "sign", "at_once": 1, **setting.turns}]
    for _ in range(setting.rounds):
        _run(samples, setting, phase="presign", cells=cells, target=_target("http://127.0.0.1:9"))
    rows = samples.contenders("presign", among=setting.contenders)
    columns = [Column("URLs/s", median_of(samples, "presign", cell="sign", field="rate"))]
    print_table(f"Signed URLs a second, median of {samples.rounds('presign')}", rows=rows, columns=columns)
    rate = samples.median("presign", "sign", contender=US, field="rate")
    print_verdicts(samples, "presign", [Verdict("signed URLs a second", rate, at_least=60_000.0)])


def start(samples: Samples, setting: Setting) -> None:
    """What the first object costs a process that has not met the library: import, client, request."""
    with rclone(setting.folder / "start") as endpoint:
        for _ in range(setting.rounds):
            for contender in setting.contenders:  # one after the other, for each keeps the processors busy while it loads
                cells = [{"name": name, "do": name} for name in ("first", "first_large")]
                _run(samples, setting, phase="start", cells=cells, target=_target(endpoint), among=[contender], is_last=False)
            samples.end_round("start")
    rows = samples.contenders("start", among=setting.contenders)
    columns = [
        Column("import ms", median_of(samples, "start", cell="start", field="import_ms"), 1),
        Column("modules", median_of(samples, "start", cell="start", field="modules")),
        Column("botocore?", median_of(samples, "start", cell="start", field="botocore")),
        Column("client ms", median_of(samples, "start", cell="start", field="client_ms"), 1),
        Column("first PUT ms", median_of(samples, "start", cell="first", field="first_ms"), 1),
        Column("then?", median_of(samples, "start", cell="first", field="botocore")),
        Column("first parts ms", median_of(samples, "start", cell="first_large", field="first_ms"), 1),
        Column("MiB", median_of(samples, "start", cell="start", field="resident_mib")),
    ]
    print_table(f"Start, median of {samples.rounds('start')}; ours beyond the core", rows=rows, columns=columns)
    load = samples.median("start", "start", contender=US, field="import_ms")
    boto = samples.median("start", "start", contender=US, field="botocore")
    aims = [Verdict("import, ms", load, at_most=25.0), Verdict("botocore loaded by the import", boto, at_most=0.0)]
    print_verdicts(samples, "start", aims)


def _run(
    samples: Samples,
    setting: Setting,
    *,
    phase: str,
    cells: Sequence[Cell],
    target: dict[str, str],
    among: Sequence[str] | None = None,
    is_last: bool = True,
) -> None:
    contenders = setting.contenders if among is None else among
    run_phase(samples, phase=phase, script=setting.script, contenders=contenders, cells=cells, options=target, is_last=is_last)


def _target(endpoint: str, certificate: Certificate | None = None) -> dict[str, str]:
    return {
        "endpoint": endpoint,
        "bucket": BUCKET,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "ca_file": str(certificate.ca_file) if certificate else "",
    }


_COSTS: dict[str, str] = {
    "cpu_us": "the client's processor time, µs a call",
    "stall_ms": "longest stall of the event loop, ms",
    "own_ms": "the same without waiting for a processor, ms",
}
_TRANSFER_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("MiB/s", "mib_s", 0),
    ("peak MiB", "peak_mib", 1),
    ("CPU s", "cpu_s", 2),
    ("stall ms", "stall_ms", 1),
    ("own stall ms", "own_ms", 1),
)

PHASES: dict[str, Phase] = {
    "small": small_http,
    "tls": small_tls,
    "latency": latency,
    "streams": streams_http,
    "streams-tls": streams_tls,
    "large": large_http,
    "large-tls": large_tls,
    "presign": presign,
    "start": start,
}
