"""What importing the core adds to a bare interpreter, beside what an application on FastAPI imports anyway.

Each sample is a fresh interpreter with compiled bytecode present; the contenders are interleaved, and the table gives the
median of the whole process's wall clock, in milliseconds, and what it adds to the bare one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from time import perf_counter

PROGRAMS = {
    "bare interpreter": "pass",
    "import indiaai_core": "import indiaai_core",
    "import stevedore": "import stevedore",
    "import pluggy": "import pluggy",
    "import importlib.metadata": "import importlib.metadata",
    "import pydantic": "import pydantic",
    "import fastapi": "import fastapi",
    "first get_storage_service()": "from indiaai_core import get_storage_service; get_storage_service()",
}


def sample(program: str) -> float:
    """Return how long a fresh interpreter takes for a program, in milliseconds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)
    return (perf_counter() - started) * 1e3


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    samples: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(arguments.rounds + 1):
        for name, program in PROGRAMS.items():
            samples[name].append(sample(program))
    medians = {name: statistics.median(values[1:]) for name, values in samples.items()}  # the first wrote the bytecode
    print(f"{'median of ' + str(arguments.rounds):32}{'ms':>8}{'over the bare one':>20}")
    for name, median in medians.items():
        print(f"{name:32}{median:8.1f}{median - medians['bare interpreter']:20.1f}")


if __name__ == "__main__":
    main()
