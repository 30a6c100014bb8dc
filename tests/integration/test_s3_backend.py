"""The stranger's backend for S3 under the example application, chosen by one variable; nothing else here knows it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "indiaai-storage-s3"
MAIN_JOB = ROOT / "examples" / "document_intake" / "tests" / "test_main_job.py"
START_SECONDS = 60


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the backend is installed from its wheel."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(PLUGIN)]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture
def variables(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Return the variables that select the backend, and a moto server with an empty bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", f"{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_it_listens(server, port)
            credentials = {
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            for name, value in credentials.items():
                monkeypatch.setenv(name, value)
            address = f"http://127.0.0.1:{port}"
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket="documents")
            chosen = {"STORAGE_TYPE": "s3", "S3_BUCKET_NAME": "documents", "S3_ENDPOINT_URL": address}
            yield {**os.environ, **chosen, "PYTHONPATH": str(installed)}
        finally:
            server.kill()


def wait_until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait for a server that was started."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.05)


def test_the_application_runs_on_it_without_a_change(variables: dict[str, str], tmp_path: Path) -> None:
    """The main job's own tests pass, and every document is an object in the bucket."""
    command = [sys.executable, "-m", "pytest", str(MAIN_JOB), "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]

    run = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=180, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    objects = boto3.client("s3", endpoint_url=variables["S3_ENDPOINT_URL"]).list_objects_v2(Bucket="documents")
    assert objects["KeyCount"] >= 5


def test_a_wrong_bucket_is_told_by_the_check(variables: dict[str, str], tmp_path: Path) -> None:
    """`indiaai check` names the variable at fault, as for a backend of the house."""
    command = [str(Path(sys.executable).parent / "indiaai"), "check"]

    wrong = {**variables, "S3_BUCKET_NAME": "no-such-bucket"}
    run = subprocess.run(command, cwd=tmp_path, env=wrong, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 1
    assert "S3_BUCKET_NAME" in run.stdout
    assert "NoSuchBucket" in run.stdout
