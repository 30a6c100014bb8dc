"""How long the command line takes to answer: the whole process, beside a bare interpreter and other tools' `--version`.

Each sample is a fresh process with compiled bytecode present; the commands take turns, and the table gives the median of the
wall clock and of the processor's time, in milliseconds. Figures depend on what is installed: `plugins` loads every backend.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

PROGRAM = str(Path(sys.executable).parent / "indiaai")

SILENT = "indiaai check, 3 silent hosts"

COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "pip --version": [sys.executable, "-m", "pip", "--version"],
    "uvicorn --version": [sys.executable, "-m", "uvicorn", "--version"],
    "indiaai --version": [PROGRAM, "--version"],
    "indiaai plugins": [PROGRAM, "plugins"],
    "indiaai config": [PROGRAM, "config"],
    "indiaai check": [PROGRAM, "check"],
    SILENT: [PROGRAM, "check"],
    "indiaai storage ls": [PROGRAM, "storage", "ls"],
    "indiaai storage --help": [PROGRAM, "storage", "--help"],
}


def silent_servers(host: str) -> dict[str, str]:
    """Return the variables of a bucket, a Redis and a PostgreSQL at one address."""
    return {
        "STORAGE_TYPE": "r2",
        "R2_ENDPOINT_URL": f"http://{host}",
        "R2_BUCKET_NAME": "bucket",
        "R2_ACCESS_KEY_ID": "nobody",
        "R2_SECRET_ACCESS_KEY": "nothing",
        "QUEUE_TYPE": "redis",
        "REDIS_URL": f"redis://{host}/0",
        "DATABASE_TYPE": "postgresql",
        "DATABASE_URL": f"postgresql://nobody@{host}/nothing",
    }


def sample(command: list[str], folder: str, variables: dict[str, str]) -> tuple[float, float]:
    """Return how long a command takes, and how much of it on a processor, in milliseconds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | variables
    before, started = os.times(), perf_counter()
    subprocess.run(command, check=not variables, timeout=120, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    seconds, after = perf_counter() - started, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds * 1e3, spent * 1e3


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else arguments.rounds
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        servers = silent_servers(f"127.0.0.1:{silent.getsockname()[1]}")
        commands = {
            name: command
            for name, command in COMMANDS.items()
            if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
        }
        for _ in range(rounds):
            for name, command in commands.items():
                samples[name].append(sample(command, folder, servers if name == SILENT else {}))
    print(f"{'median of ' + str(rounds):32}{'ms':>8}{'on a processor':>18}")
    for name in commands:
        wall, spent = (statistics.median(values) for values in zip(*samples[name], strict=True))
        print(f"{name:32}{wall:8.0f}{spent:18.0f}")


if __name__ == "__main__":
    main()
