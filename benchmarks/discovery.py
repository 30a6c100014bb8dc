"""What discovery costs in a fresh process, beside stevedore, pluggy, importlib.metadata and its backport.

Each sample is a fresh interpreter on a folder of N fake distributions, five of them plugins of ours; the contenders are
interleaved, and the table gives medians. Times are wall clock inside the process, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

CONTENDERS = {
    "stdlib": ("import importlib.metadata", "list(importlib.metadata.entry_points(group='indiaai.storage'))"),
    "importlib_metadata": ("import importlib_metadata", "list(importlib_metadata.entry_points(group='indiaai.storage'))"),
    "stevedore": (
        "from stevedore import NamedExtensionManager, _cache; _cache._c._disable_caching = True",
        "NamedExtensionManager('indiaai.storage', ['bench0'], invoke_on_load=False)",
    ),
    "pluggy": (
        "import pluggy; manager = pluggy.PluginManager('x')",
        "manager.load_setuptools_entrypoints('indiaai.benchmark')",
    ),
    "indiaai": ("import importlib_metadata; from indiaai_core import discovery", "discovery.catalogue()"),
}
PROGRAM = """
import sys, time
t0 = time.perf_counter()
{setup}
t1 = time.perf_counter()
{first}
t2 = time.perf_counter()
{first}
t3 = time.perf_counter()
print((t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e3)
"""
WHOLE = """
import time
t0 = time.perf_counter()
from indiaai_core import get_storage_service
t1 = time.perf_counter()
get_storage_service()
t2 = time.perf_counter()
get_storage_service()
t3 = time.perf_counter()
print((t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e3)
"""
BACKEND = """
from indiaai_core import StorageService

class Backend(StorageService):
    upload = download = get_url = delete = None
"""


def make_site(folder: Path, count: int) -> None:
    """Fill a folder with fake distributions: 30 % have entry points of a stranger's, five are plugins."""
    for number in range(count):
        metadata = folder / f"fake_{number:04d}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number:04d}\nVersion: 1.0\n", encoding="utf-8")
        (metadata / "RECORD").write_text("", encoding="utf-8")
        if number % 10 < 3:
            text = f"[console_scripts]\nfake{number} = fake{number}:main\n\n[fake.plugins]\na = fake{number}:A\n"
            (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
    for number in range(5):
        metadata = folder / f"plugin_{number}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{number}\nVersion: 1.0\n", encoding="utf-8")
        (metadata / "entry_points.txt").write_text(
            f"[indiaai.storage]\nbench{number} = bench_backend:Backend\n", encoding="utf-8"
        )
    (folder / "bench_backend.py").write_text(BACKEND, encoding="utf-8")


def sample(program: str, site: Path) -> list[float]:
    """Run a program in a fresh interpreter that sees the fake distributions and the libraries, and return its times."""
    libraries = sysconfig.get_paths()["purelib"]
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{libraries}", "STORAGE_TYPE": "bench0"}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=site, timeout=60
    )
    return [float(number) for number in run.stdout.split()]


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return, for each contender, the medians of import, first query and repeated query."""
    programs = {name: PROGRAM.format(setup=setup, first=first) for name, (setup, first) in CONTENDERS.items()}
    programs["first get_storage_service()"] = WHOLE
    samples: dict[str, list[list[float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        make_site(Path(folder), count)
        for _ in range(rounds):
            for name, program in programs.items():
                samples[name].append(sample(program, Path(folder)))
    return {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in samples.items()}


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--counts", type=int, nargs="*", default=[20, 200, 1000])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {count: measure(count, arguments.rounds) for count in arguments.counts}
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for count, found in results.items():
        print(f"\n{count} distributions, median of {arguments.rounds}, ms")
        print(f"{'':30}{'import':>9}{'first':>9}{'repeat':>9}{'first / stdlib':>17}")
        for name, (load, first, repeat) in found.items():
            print(f"{name:30}{load:9.2f}{first:9.2f}{repeat:9.4f}{first / found['stdlib'][1]:17.2f}")


if __name__ == "__main__":
    main()
