"""The stranger's backend for S3 under the example application, chosen by one variable; nothing else here knows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from environments import ROOT
from motoserver import moto_server

PLUGIN = ROOT / "examples" / "indiaai-storage-s3"
MAIN_JOB = ROOT / "examples" / "document_intake" / "tests" / "test_main_job.py"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


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
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with moto_server("documents") as address:
        chosen = {"STORAGE_TYPE": "s3", "S3_BUCKET_NAME": "documents", "S3_ENDPOINT_URL": address}
        yield {**os.environ, **chosen, "PYTHONPATH": str(installed)}


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
