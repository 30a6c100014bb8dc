"""The demonstration: one command, on nothing but the defaults."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from application import HOME


def test_the_demo_works_every_sample_each_time_it_is_run(tmp_path: Path) -> None:
    """Run twice on the same data, the first time with its port taken, it goes through and says so by its status."""
    places = {"LOCAL_STORAGE_PATH": str(tmp_path / "storage"), "SQLITE_DB_PATH": str(tmp_path / "intake.db")}
    environment = {**os.environ, **places, "PYTHONIOENCODING": "utf-8"}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, str(HOME / "demo.py"), "--once", "--port", str(taken.getsockname()[1])]
        first = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=90, check=False)
    second = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=90, check=False)

    assert "is taken; using" in first.stdout
    for run in (first, second):
        assert run.returncode == 0, run.stdout + run.stderr
        assert "5 of 5 documents went in" in run.stdout
    assert "is taken" not in second.stdout
