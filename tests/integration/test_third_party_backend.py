"""A stranger's storage backend under the example application, chosen by one variable.

The backend is built here as its author would publish it, from a project of two files, and installed beside the
application. Then the application's own tests of the main job run on it, unchanged.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN_JOB = ROOT / "examples" / "document_intake" / "tests" / "test_main_job.py"

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-shelf"
version = "1.0"
dependencies = ["indiaai-core[fastapi]"]

[project.entry-points."indiaai.storage"]
shelf = "acme_shelf:ShelfStorageService"
"""

BACKEND = '''
"""Objects as files of a folder, in the four methods that a storage backend needs at least."""

import hashlib
import os
from pathlib import Path

from indiaai_core import BackendSettings, ObjectNotFound, SettingsConfigDict, StorageService
from indiaai_core.storage import normalize_key
from starlette.responses import FileResponse, Response


class ShelfSettings(BackendSettings):
    model_config = SettingsConfigDict(env_prefix="SHELF_")
    path: Path


class ShelfStorageService(StorageService):
    settings_class = ShelfSettings

    def __init__(self, settings):
        self.folder = settings.path

    def place(self, file_key):
        return self.folder / hashlib.sha256(normalize_key(file_key).encode()).hexdigest()

    async def upload(self, file_key, file_data, content_type="application/octet-stream", *, if_absent=False, metadata=None):
        place = self.place(file_key)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as file:
            if isinstance(file_data, bytes):
                file.write(file_data)
            else:
                async for chunk in file_data:
                    file.write(chunk)
        draft.rename(place)
        return f"shelf:{file_key}"

    async def download(self, file_key):
        try:
            return self.place(file_key).read_bytes()
        except FileNotFoundError as error:
            raise ObjectNotFound(file_key) from error

    async def get_url(self, file_key, expires_in=3600):
        return f"{self.served_at}/{self.place(file_key).name}"

    async def delete(self, file_key):
        place = self.place(file_key)
        existed = place.exists()
        place.unlink(missing_ok=True)
        return existed

    @property
    def http_app(self):
        async def serve(scope, receive, send):
            file = self.folder / Path(scope["path"]).name
            answer = FileResponse(file) if file.is_file() else Response(status_code=404)
            await answer(scope, receive, send)

        return serve
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the stranger's distribution is installed from its wheel."""
    project = tmp_path_factory.mktemp("acme-shelf")
    (project / "pyproject.toml").write_text(PYPROJECT, "utf-8")
    (project / "acme_shelf.py").write_text(BACKEND, "utf-8")
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(project)]
    subprocess.run(command, check=True, timeout=120)
    return target


def test_the_application_runs_on_a_strangers_backend_without_a_change(installed: Path, tmp_path: Path) -> None:
    """The main job's own tests pass on a backend nobody here knows, and every object is where that backend keeps them."""
    shelf = tmp_path / "shelf"
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "STORAGE_TYPE": "shelf",
        "SHELF_PATH": str(shelf),
    }

    command = [sys.executable, "-m", "pytest", str(MAIN_JOB), "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    tests = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert len(list(shelf.iterdir())) >= 5


def test_without_its_distribution_the_application_says_what_is_missing(tmp_path: Path) -> None:
    """The same variable without the package stops the start with the variable and the line that would install it."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(MAIN_JOB.parents[1]), "main:app", "--port", "0"]
    environment = {**os.environ, "STORAGE_TYPE": "shelf"}

    start = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert start.returncode != 0
    assert "STORAGE_TYPE='shelf'" in start.stderr
    assert "pip install indiaai-storage-shelf" in start.stderr
