"""What the backend `redis` and its worker make of one redis-server, beside Python's other queues.

All contenders meet the same redis-server on the loopback, emptied before each turn, and take turns at each cell in shuffled
order in every round. Each has processes of its own; each peer has an environment of its own too, made at first use.
What ran is noted in memory that the processes share: nothing is counted through a queue. The tables give medians over the
rounds; the aims are checked on ratios that are taken inside each round. Clients, workers and server share the machine's
processors, so figures of one run compare only with each other.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from queues.contenders import CONTENDERS, FLOOR, US

if TYPE_CHECKING:  # a peer's environment has nothing of what these import
    from queues.turns import Table
    from storage.samples import Samples

DRAINS: dict[str, tuple[str, int]] = {"1 worker": ("noop", 1), "2 workers": ("noop", 2), "1 KiB, 1 ms": ("wait", 1)}
PHASES = ("enqueue", "drain", "pickup", "commands")
CORE = (US, FLOOR, "ardiq", "huey", "saq", "dramatiq")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="two rounds of fewer tasks, and the contenders that an aim names")
    parser.add_argument("--phases", nargs="*", choices=PHASES, default=list(PHASES))
    parser.add_argument("--contenders", nargs="*", choices=list(CONTENDERS), default=[])
    parser.add_argument("--json", type=Path, help="a file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.contenders = asked.contenders or (list(CORE) if asked.quick else list(CONTENDERS))
    asked.rounds = min(asked.rounds, 2) if asked.quick else asked.rounds
    return asked


def serve_as_producer(asked: argparse.Namespace) -> None:
    """Be a contender's producer, in the contender's environment, where nothing of the harness may be installed."""
    from queues.producer import serve_producer

    serve_producer(asked.options)


def run(asked: argparse.Namespace) -> None:
    """Run the phases and print their tables."""
    from queues.report import REPORTS
    from queues.server import postgresql, redis_server
    from queues.turns import Table
    from storage.samples import Samples

    samples = Samples()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(redis_server(folder))
        address = stack.enter_context(postgresql(folder)) if "procrastinate" in asked.contenders else ""
        table = Table(__file__, folder, server, postgresql=address, is_quick=asked.quick)
        print(f"Redis {server.version()}, {asked.rounds} rounds")
        for phase in asked.phases:
            for _ in range(asked.rounds if phase != "commands" else 1):
                play_round(samples, table, phase=phase, contenders=asked.contenders)
            REPORTS[phase](samples)
    if asked.json:
        asked.json.write_text(json.dumps(samples.as_json(), indent=1), encoding="utf-8")


def play_round(samples: Samples, table: Table, *, phase: str, contenders: Sequence[str]) -> None:
    """Give every contender its turn at each cell of a phase; one that breaks down is noted."""
    from queues.turns import Turns
    from storage.rounds import WorkerFailed

    for cell in DRAINS if phase == "drain" else ("",):
        for name in random.sample(contenders, len(contenders)):
            if name == FLOOR and phase in ("drain", "commands"):
                continue  # it is no queue
            try:
                for key, figures in Turns(name, table).take(phase, *DRAINS.get(cell, ("noop", 1))):
                    samples.add(phase, cell or key, contender=name, figures=figures)
            except WorkerFailed as failure:
                samples.note(phase, f"{cell} {failure}".strip())
    samples.end_round(phase)


def main() -> None:
    """Measure; or, as a worker, be one contender's producer."""
    asked = arguments()
    if asked.worker:
        serve_as_producer(asked)
    else:
        run(asked)


if __name__ == "__main__":
    main()
