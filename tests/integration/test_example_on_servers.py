"""The example application on servers: PostgreSQL, an S3 store, and a Redis whose queue is worked by processes beside it.

Its own tests of the main job, and its demonstration, run unchanged; only variables differ.
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
from motoserver import moto_server
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


def test_the_demonstration_runs_on_what_three_variables_select(environment: dict[str, str], tmp_path: Path) -> None:
    """The line that shows it on a laptop shows it on PostgreSQL, R2 and Redis, with a worker that it starts and ends."""
    with moto_server("documents") as endpoint:
        keys = {"R2_ACCOUNT_ID": "account", "R2_ACCESS_KEY_ID": "access", "R2_SECRET_ACCESS_KEY": "secret"}
        place = {"R2_BUCKET_NAME": "documents", "R2_ENDPOINT_URL": endpoint}
        command = [sys.executable, f"{EXAMPLE / 'demo.py'}", "--once"]
        variables = {**environment, "STORAGE_TYPE": "r2", **keys, **place, "PYTHONIOENCODING": "utf-8"}
        del variables["LOCAL_STORAGE_PATH"]
        done = subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", timeout=180, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Starting a worker" in done.stdout
    assert "5 of 5 documents went in" in done.stdout
    assert not (tmp_path / "storage").exists()


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
