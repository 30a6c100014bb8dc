"""The tables and aims of the queue benchmark, from its samples; imported by `queue_redis`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from queues.contenders import CONTENDERS, FLOOR, US
from storage.samples import Samples
from storage.tables import Column, Verdict, median_columns, median_of, print_table, print_verdicts, ratio_columns

__all__ = ["REPORTS"]

ENQUEUES = ("one", "gather", "bulk")
DRAINS = ("1 worker", "2 workers", "1 KiB, 1 ms")
FASTEST = "ardiq"
"""The fastest peer, and one that loses nothing; it is written in Rust."""
AT_LEAST_ONCE = ("ardiq", "streaq", "bullmq")
"""The peers that lost no task to a `kill -9` of a worker at their defaults, where that was tried."""


def _report_enqueue(samples: Samples) -> None:
    rows = _rows(samples, "enqueue")
    title = f"enqueue, median of {samples.rounds('enqueue')}"
    rates = median_columns(samples, "enqueue", cells=ENQUEUES, field="rate")
    costs = median_columns(samples, "enqueue", cells=ENQUEUES, field="cpu_us", digits=1, unit=" µs")
    print_table(f"{title}: tasks a second, and the producer's processor time for each", rows=rows, columns=[*rates, *costs])
    columns = ratio_columns(samples, "enqueue", cells=ENQUEUES, peer=FLOOR)
    print_table(f"{title}: over {FLOOR}'s RPUSH, one by one, side by side and in a pipeline", rows=rows, columns=columns)
    aims = (("one", FLOOR, 0.9), ("gather", FLOOR, 5.0), ("bulk", FASTEST, 2.0))
    verdicts = [
        Verdict(f"{cell}: rate over {peer}'s", _over(samples, "enqueue", cell, peer), at_least=least)
        for cell, peer, least in aims
    ]
    print_verdicts(samples, "enqueue", verdicts)


def _report_drain(samples: Samples) -> None:
    rows = _rows(samples, "drain")
    title = f"drain, median of {samples.rounds('drain')}"
    print_table(f"{title}: tasks a second", rows=rows, columns=median_columns(samples, "drain", cells=DRAINS, field="rate"))
    print_table(f"{title}: over {FASTEST}'s", rows=rows, columns=ratio_columns(samples, "drain", cells=DRAINS, peer=FASTEST))
    fields = {
        "tasks": ("tasks", 0),
        "worker µs": ("cpu_us", 1),
        "server µs": ("server_us", 1),
        "reads": ("reads", 2),
        "RSS MiB": ("rss_mib", 0),
        "B waiting": ("waiting_bytes", 0),
        "B finished": ("finished_bytes", 0),
    }
    columns = _columns(samples, "drain", cell="1 worker", fields=fields)
    print_table(f"{title}, 1 worker: what a task costs, with 100 bytes of payload", rows=rows, columns=columns)
    print_verdicts(samples, "drain", _drain_verdicts(samples, rows))


def _drain_verdicts(samples: Samples, rows: Iterable[str]) -> Iterator[Verdict]:
    python_peers = [name for name in rows if not name.startswith(US) and name != FASTEST]
    best = samples.best("drain", "1 worker", among=python_peers, field="rate") or "nobody"
    yield Verdict(f"1 worker: rate over {FASTEST}'s", _over(samples, "drain", "1 worker", FASTEST), at_least=2.5)
    yield Verdict(f"1 worker: rate over the best in Python ({best})", _over(samples, "drain", "1 worker", best), at_least=8.0)
    own = samples.ratio("drain", "2 workers", contender=US, peer=US, field="rate", peer_cell="1 worker")
    yield Verdict("2 workers over 1", own, at_least=1.0)
    memory = samples.median("drain", "1 worker", contender=US, field="rss_mib")
    yield Verdict("1 worker: memory after 20,000 tasks, MiB", memory, at_most=60.0)
    sizes = {name: samples.median("drain", "1 worker", contender=name, field="waiting_bytes") for name in AT_LEAST_ONCE}
    known = {name: size for name, size in sizes.items() if size}
    leanest = min(known, key=lambda name: known[name]) if known else "nobody"
    size = samples.ratio("drain", "1 worker", contender=US, peer=leanest, field="waiting_bytes")
    yield Verdict(f"bytes of a waiting task over the leanest ({leanest})", size, at_most=1.0)


def _report_pickup(samples: Samples) -> None:
    title = f"an idle worker's pick-up, ms, median of {samples.rounds('pickup')}"
    columns = _columns(samples, "pickup", cell="pickup", fields={"p50": ("p50_ms", 2), "p99": ("p99_ms", 2)})
    print_table(f"{title} ({FLOOR}: the bare RPUSH to BLMOVE)", rows=_rows(samples, "pickup"), columns=columns)
    half = samples.ratio("pickup", "pickup", contender=US, peer=FLOOR, field="p50_ms")
    late = samples.median("pickup", "pickup", contender=US, field="p99_ms")
    verdicts = [
        Verdict("p50 over the bare hand-over's", half, at_most=1.5),
        Verdict("p99, ms", late, at_most=10.0),
    ]
    print_verdicts(samples, "pickup", verdicts)


def _report_commands(samples: Samples) -> None:
    fields = {
        "enqueue: sent": ("enqueue_sent", 2),
        "in scripts": ("enqueue_inside", 1),
        "run: sent": ("run_sent", 2),
        "in scripts ": ("run_inside", 1),
    }
    columns = _columns(samples, "commands", cell="commands", fields=fields)
    print_table(
        "commands a task, enqueued in bulk where there is such a call", rows=_rows(samples, "commands"), columns=columns
    )
    print_verdicts(samples, "commands", [])


def _columns(samples: Samples, phase: str, *, cell: str, fields: Mapping[str, tuple[str, int]]) -> list[Column]:
    return [
        Column(heading, median_of(samples, phase, cell=cell, field=field), digits)
        for heading, (field, digits) in fields.items()
    ]


def _rows(samples: Samples, phase: str) -> list[str]:
    return samples.contenders(phase, among=CONTENDERS)


def _over(samples: Samples, phase: str, cell: str, peer: str) -> float | None:
    return samples.ratio(phase, cell, contender=US, peer=peer, field="rate")


REPORTS: Mapping[str, Callable[[Samples], None]] = {
    "enqueue": _report_enqueue,
    "drain": _report_drain,
    "pickup": _report_pickup,
    "commands": _report_commands,
}
"""What prints each phase."""
