"""`indiaai new` as an author has it: what it writes is found, typed and clean, and fails only where work is to be done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

PROGRAMS = Path(sys.executable).parent
SECONDS = 120


@dataclass(frozen=True)
class Author:
    """Somebody with an empty folder, and a folder of their own into which their packages are installed.

    Attributes:
        folder: Theirs.
        known_types: What mypy found out about libraries, which takes it longest, and is the same for every author.
    """

    folder: Path
    known_types: Path

    @property
    def site(self) -> Path:
        """Where the packages are installed."""
        return self.folder / "site"

    def run(self, *command: str, cwd: Path | None = None, statuses: tuple[int, ...] = (0,)) -> str:
        """Run a program, beside what was installed, and return what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "PYTHONUTF8": "1", "NO_COLOR": "1"}
        run = subprocess.run(
            [str(PROGRAMS / command[0]), *command[1:]],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert run.returncode in statuses, run.stdout + run.stderr
        return run.stdout

    def begin(self, *what: str) -> Path:
        """Run `indiaai new` and install what it wrote, from its own project."""
        folder = self.folder / str(json.loads(self.run("indiaai", "new", *what, "--json"))["folder"])
        self.run(
            "uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", f"{self.site}", f"{folder}"
        )
        return folder

    def judge(self, folder: Path) -> None:
        """Hold a project against its own rules: ruff, its formatter, and mypy, strict."""
        self.run("ruff", "check", cwd=folder)
        self.run("ruff", "format", "--check", cwd=folder)
        self.run("mypy", "--cache-dir", f"{self.known_types}", "src", "tests", cwd=folder)

    def test(self, folder: Path) -> tuple[int, dict[str, str]]:
        """Run a project's tests, and return how many there were, and what each that failed says."""
        report = folder / "report.xml"
        options = ("-q", "-p", "no:cacheprovider", "--tb=short", f"--junit-xml={report}")
        self.run("python", "-m", "pytest", *options, cwd=folder, statuses=(0, 1))
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - this test's own pytest wrote it
        faults = {f"{it.get('classname')}.{it.get('name')}": _fault(it) for it in cases}
        return len(cases), {name: fault for name, fault in faults.items() if fault}


def _fault(case: ET.Element) -> str:
    # An error is one of a fixture, of which a suite may leave some to be written, as it does methods.
    return "".join(it.text or "fixture" for kind in ("failure", "error") for it in case.findall(kind))


@pytest.fixture(scope="session")
def known_types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for mypy."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def author(tmp_path: Path, known_types: Path) -> Author:
    """An author who begins."""
    return Author(tmp_path, known_types)


def backends(author: Author) -> list[dict[str, Any]]:
    """Return what `indiaai plugins` lists, without what is wrong with others."""
    return list(json.loads(author.run("indiaai", "plugins", "--load", "--json"))["backends"])


def hold(author: Author, layer: str, folder: Path) -> None:
    """Hold a begun backend to what is promised of it."""
    (row,) = (it for it in backends(author) if it["layer"] == layer and it["backend"] == "azure")
    assert (row["distribution"], row["version"], row["error"]) == (f"indiaai-{layer}-azure", "0.1.0", None)
    author.judge(folder)
    count, failed = author.test(folder)
    assert len(failed) > count / 2
    assert [name for name in failed if "test_conformance" not in name] == []
    assert {name: fault for name, fault in failed.items() if "NotImplementedError" not in fault} == {}


@pytest.mark.parametrize("layer", ["storage", "queue", "database", "notify"])
def test_a_begun_backend_fails_only_where_work_is_to_be_done(author: Author, layer: str, strangers: Path) -> None:
    """It installs, is listed, is clean and typed, and each test that fails is a promise whose method is not written yet."""
    if layer == "notify":
        shutil.copytree(strangers, author.site)
    folder = author.begin("plugin", layer, "azure")

    hold(author, layer, folder)


def test_a_begun_layer_is_green_and_can_be_built_upon(author: Author) -> None:
    """All its tests pass as it stands, and a backend of it is begun like any other's."""
    layer = author.begin("layer", "search")

    author.judge(layer)
    count, failed = author.test(layer)
    assert (count > 6, failed) == (True, {})
    hold(author, "search", author.begin("plugin", "search", "azure"))
