"""`indiaai storage` as a process: on a real bucket and a real folder, in pipes that close and to stores that are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import PROGRAM, call
from motoserver import moto_server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the address of an S3 server with an empty bucket."""
    with moto_server("documents") as address:
        yield address


@pytest.fixture
def variables(endpoint: str, tmp_path: Path) -> dict[str, str]:
    """Return what selects a folder, and the bucket as `cloud`."""
    return {
        "LOCAL_STORAGE_PATH": f"{tmp_path / 'store'}",
        "CLOUD_STORAGE_TYPE": "r2",
        "CLOUD_R2_ENDPOINT_URL": endpoint,
        "CLOUD_R2_BUCKET_NAME": "documents",
        "CLOUD_R2_ACCESS_KEY_ID": "testing",
        "CLOUD_R2_SECRET_ACCESS_KEY": "hunter2",
    }


def test_objects_go_from_files_to_a_bucket_to_a_folder_and_out(variables: dict[str, str], tmp_path: Path) -> None:
    """A tree with a large file and names in other scripts comes out as it went in, through both backends."""
    files = {"a.txt": b"small", "deep/बिल.pdf": bytes(range(256)) * 4096 * 9, "deep/empty": b""}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)

    for source, target in (("in", "cloud:x"), ("cloud:x", ":y"), (":y", "out")):
        done = call("storage", "cp", "-r", source, target, "--json", folder=tmp_path, variables=variables)
        assert (done.returncode, len(json.loads(done.stdout)["copied"])) == (0, 3), done.stderr
    listed = call("storage", "ls", "--json", "cloud:x/", folder=tmp_path, variables=variables)
    removed = call("storage", "rm", "-r", "-y", "cloud:x", folder=tmp_path, variables=variables)

    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    assert [one["key"] for one in json.loads(listed.stdout)] == [f"x/{name}" for name in sorted(files)]
    assert removed.stdout == "3 objects deleted\n"


def test_a_link_to_the_bucket_opens(variables: dict[str, str], tmp_path: Path) -> None:
    """It is printed alone, and shows no secret."""
    done = call("storage", "url", "cloud:a", folder=tmp_path, variables=variables)

    assert done.stdout.startswith(variables["CLOUD_R2_ENDPOINT_URL"])
    assert "hunter2" not in done.stdout + done.stderr


def test_a_store_that_is_not_there_is_told(variables: dict[str, str], tmp_path: Path) -> None:
    """Status 1, the address, and no traceback."""
    gone = {**variables, "CLOUD_R2_ENDPOINT_URL": "http://127.0.0.1:9", "CLOUD_R2_RETRY_SECONDS": "0"}

    done = call("storage", "ls", "cloud:", folder=tmp_path, variables=gone)

    assert (done.returncode, done.stdout) == (1, "")
    assert "http://127.0.0.1:9 did not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["storage ls", "storage cp :1.bin -", "config", "check", "--version"])
def test_a_reader_that_has_enough_is_no_error(command: str, variables: dict[str, str], tmp_path: Path) -> None:
    """A pipe that is closed at once, as by `head`, ends the command, and nobody complains."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.bin").write_bytes(bytes(4 * MIB))
    call("storage", "cp", "-r", "in", ":", folder=tmp_path, variables=variables)

    script = f"import subprocess, sys; p = subprocess.Popen({[str(PROGRAM), *command.split()]}, stdout=subprocess.PIPE)"
    script += "; p.stdout.close(); sys.exit(p.wait() not in (0, 1))"
    environment = {**variables, "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
