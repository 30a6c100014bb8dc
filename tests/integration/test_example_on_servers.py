"""The example application on servers: PostgreSQL, and a Redis whose queue is worked by processes beside the application.

Its own tests of the main job run unchanged; only variables differ.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from indiaai_db.testing import PostgresqlServer
from redisprocess import redis_server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "document_intake"
PROGRAMS = Path(sys.executable).parent
START_SECONDS = 30


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a Redis server that goes with the test."""
    with redis_server(tmp_path) as url:
        yield url


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return what selects the servers, and the one folder for files that the processes share."""
    with PostgresqlServer() as postgresql:
        yield {
            **os.environ,
            "QUEUE_TYPE": "redis",
            "REDIS_URL": redis_url,
            "DATABASE_TYPE": "postgresql",
            "DATABASE_URL": postgresql.url,
            "LOCAL_STORAGE_PATH": str(tmp_path / "storage"),
        }


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return a worker of the example's, as a process of its own, that waits for tasks."""
    _run("alembic", "upgrade", "head", environment=environment)
    log = tmp_path / "worker.txt"
    with log.open("wb") as output:
        command = [f"{PROGRAMS / 'indiaai'}", "worker", "worker:worker"]
        process = subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=output, stderr=output)
    deadline = time.monotonic() + START_SECONDS
    with Redis.from_url(environment["REDIS_URL"]) as redis:
        while not any(client["id"] != str(redis.client_id()) for client in redis.client_list()):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, "the worker does not connect"
            time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def test_the_application_runs_on_servers_without_a_change(
    environment: dict[str, str], worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """`alembic upgrade head`, `indiaai worker worker:worker` and the application do together what it does alone."""
    tests = f"{EXAMPLE / 'tests' / 'test_main_job.py'}"
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]

    _run("pytest", tests, *options, environment=environment, folder=ROOT)
    worker.terminate()

    assert worker.wait(timeout=30) == 0, (tmp_path / "worker.txt").read_text("utf-8")


def _run(program: str, *arguments: str, environment: dict[str, str], folder: Path = EXAMPLE) -> None:
    done = subprocess.run(
        [f"{PROGRAMS / program}", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
