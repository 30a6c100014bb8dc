"""Fresh virtual environments, and wheels of strangers to install in them; imported by the tests of installing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

ROOT = Path(__file__).parent.parent.parent


def built_wheel(name: str) -> str:
    """Return the wheel of one of our distributions, which the session `wheels` built."""
    found = sorted((ROOT / "dist").glob(f"{name.replace('-', '_')}-*.whl"))
    assert found, "no wheels in dist/; build them: nox -s wheels"
    return str(found[-1])


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, and the neutral folder that programs are run from."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Environment:
        """Make one with nothing in it."""
        environment = cls(folder)
        environment._uv("venv", "--python", sys.executable, str(folder / "venv"))
        (folder / "cwd").mkdir()
        return environment

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    @property
    def site(self) -> Path:
        """The folder that its distributions are installed in."""
        (found,) = (self.folder / "venv").rglob("site-packages")
        return found

    def install(self, *wheels: str, with_requirements: bool = True) -> None:
        """Install wheels by their files; what they need comes with them unless that is to be left out."""
        self._uv(
            "pip", "install", "--python", str(self.folder / "venv"), *([] if with_requirements else ["--no-deps"]), *wheels
        )

    def uninstall(self, name: str) -> None:
        """Remove a distribution."""
        self._uv("pip", "uninstall", "--python", str(self.folder / "venv"), name)

    def names(self) -> set[str]:
        """Return the names of all distributions in it."""
        listed = self._uv("pip", "list", "--python", str(self.folder / "venv"), "--format", "json")
        return {entry["name"] for entry in json.loads(listed)}

    def call(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs from the neutral folder, with no variable set but these."""
        program = [str(self.bin / command[0]), *command[1:]]
        return subprocess.run(
            program, cwd=self.folder / "cwd", env=_bare(variables), capture_output=True, text=True, check=False, timeout=60
        )

    def evaluate(self, program: str, **variables: str) -> Any:
        """Run a program that prints JSON, and return what it says."""
        run = self.call("python", "-c", program, **variables)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def failure(self, program: str, **variables: str) -> dict[str, Any]:
        """Run a program that is to raise, and return the error's class and message."""
        lines = "".join(f"    {line}\n" for line in program.splitlines())
        report = "import json\ntry:\n" + lines + "except Exception as error:\n    raised = error\n"
        return dict(
            self.evaluate(report + "print(json.dumps({'kind': type(raised).__name__, 'says': str(raised)}))", **variables)
        )

    def _uv(self, *arguments: str) -> str:
        run = subprocess.run(
            [uv.find_uv_bin(), "--quiet", *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


def _bare(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONWARNINGS": "error", **variables}


def write_wheel(
    folder: Path, name: str, *, modules: Mapping[str, str], entry_points: str = "", requires: tuple[str, ...] = ()
) -> str:
    """Write the wheel of a stranger's distribution, version 1.0, and return its path.

    Args:
        folder: Where to write it.
        name: The distribution's name.
        modules: Source by file name.
        entry_points: The text of its entry_points.txt.
        requires: What it depends on.
    """
    stem = f"{name.replace('-', '_')}-1.0"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", *(f"Requires-Dist: {line}\n" for line in requires)]
    files = {
        **modules,
        f"{stem}.dist-info/METADATA": "".join(metadata),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": entry_points,
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    target = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in {**files, f"{stem}.dist-info/RECORD": f"{record}{stem}.dist-info/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return str(target)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
