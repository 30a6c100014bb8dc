"""`indiaai check` as a process: hosts that take connections and say nothing, and a set-up on servers that is well."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import call
from indiaai_db.testing import PostgresqlServer
from motoserver import moto_server
from redisprocess import redis_server

R2 = {"STORAGE_TYPE": "r2", "R2_BUCKET_NAME": "documents", "R2_ACCESS_KEY_ID": "testing", "R2_SECRET_ACCESS_KEY": "hunter2"}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_hosts_that_say_nothing_are_given_up_together(silent_port: int, tmp_path: Path) -> None:
    """Three of them, by clients that would each wait for half a minute: all are named, and the process ends."""
    host = f"127.0.0.1:{silent_port}"
    servers = {
        **R2,
        "R2_ENDPOINT_URL": f"http://{host}",
        "QUEUE_TYPE": "redis",
        "REDIS_URL": f"redis://app:hunter2@{host}/0",
        "REDIS_TIMEOUT_SECONDS": "60",
        "DATABASE_TYPE": "postgresql",
        "DATABASE_URL": f"postgresql://app:hunter2@{host}/db",
        "DATABASE_CONNECT_TIMEOUT_SECONDS": "60",
    }
    started = time.monotonic()

    done = call("check", "--json", folder=tmp_path, variables=servers)

    failed = {one["name"]: one for one in json.loads(done.stdout)["checks"] if not one["is_ok"]}
    assert (done.returncode, set(failed)) == (1, {"storage", "queue", "database"})
    assert all(host in one["remedy"] for one in failed.values())
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 30  # 5 s are measured in benchmarks/; here is only that nobody waits for the clients


def test_a_healthy_set_up_on_servers_alarms_nobody(tmp_path: Path) -> None:
    """A bucket, a Redis that keeps what it is given and a PostgreSQL: no failure, and no warning, even for the strict."""
    with (
        moto_server("documents") as bucket,
        PostgresqlServer() as postgresql,
        redis_server(tmp_path, "--appendonly", "yes") as url,
    ):
        servers = {
            **R2,
            "R2_ENDPOINT_URL": bucket,
            "QUEUE_TYPE": "redis",
            "REDIS_URL": url,
            "DATABASE_TYPE": "postgresql",
            "DATABASE_URL": postgresql.url,
        }
        done = call("check", "--json", "--strict", folder=tmp_path, variables=servers)

    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True), found
    assert not any(one["is_caveat"] for one in found["checks"])
