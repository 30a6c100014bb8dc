"""What the backend `r2` makes of an S3 server, beside its peers: small objects, a long line, streams, signed URLs, the start.

All contenders meet the same `rclone serve s3` on the loopback, on a memory-backed folder where there is one, each in a process
of its own in every round, and take turns at each cell in shuffled order. The tables give medians over the rounds; the aims are
checked on ratios that are taken inside each round. Client, server and everything else share the machine's processors, so
figures of one run compare only with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path

from storage.bucket_phases import PHASES, Setting
from storage.bucket_worker import serve_bucket
from storage.buckets import BUCKETS, COMPARED
from storage.samples import Samples

OWN_ENVIRONMENT = ("aioboto3",)
CORE = ("indiaai", "indiaai on boto3", "boto3 in threads", "aiobotocore", "obstore")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round of the contenders that an aim names, without the streams over http",
    )
    parser.add_argument("--large", action="store_true", help="streams of 4 GiB too, to and from a server that keeps nothing")
    parser.add_argument("--phases", nargs="*", choices=list(PHASES), default=[])
    parser.add_argument("--contenders", nargs="*", choices=sorted(BUCKETS.keys() - COMPARED), default=[])
    parser.add_argument("--seconds", type=float, default=1.2, help="how long a cell of small objects lasts")
    parser.add_argument("--json", type=Path, help="a file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def default_phases(asked: argparse.Namespace) -> list[str]:
    """Return the phases that are run where none is named."""
    left_out = {"streams"} if asked.quick else set()
    return [name for name in PHASES if name not in left_out and (asked.large or not name.startswith("large"))]


def main() -> None:
    """Run the phases and print their tables; or, as a worker, be one contender."""
    asked = arguments()
    if asked.worker:
        asyncio.run(serve_bucket(asked.worker, asked.options))
        return
    everybody = CORE if asked.quick else [name for name in BUCKETS if name not in (*OWN_ENVIRONMENT, *COMPARED)]
    samples = Samples()
    shared_memory = "/dev/shm"  # noqa: S108 - a file system in memory, in which a folder of our own is made
    with tempfile.TemporaryDirectory(dir=shared_memory if os.access(shared_memory, os.W_OK) else None) as folder:
        setting = Setting(
            script=__file__,
            folder=Path(folder),
            contenders=tuple(asked.contenders or everybody),
            rounds=1 if asked.quick else asked.rounds,
            seconds=asked.seconds / 2 if asked.quick else asked.seconds,
        )
        for name in asked.phases or default_phases(asked):
            PHASES[name](samples, setting)
    if asked.json:
        asked.json.write_text(json.dumps(samples.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
