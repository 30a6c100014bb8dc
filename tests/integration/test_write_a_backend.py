"""The backend that the documentation writes, followed to the letter: built, installed, found, and held to every promise."""

from __future__ import annotations

import re
import subprocess

import pytest
import uv

from environments import ROOT, Environment, built_wheel

PAGE = ROOT / "docs" / "how-to" / "write-a-backend.md"
NAMED_BLOCK = re.compile(r"^```[a-z]+\n# (?P<name>[a-z_]+\.(?:py|toml))\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)

USE_IT = """
import anyio, json
from indiaai_core import get_storage_service
async def main():
    storage = get_storage_service()
    await storage.upload("a/b.txt", b"kept")
    print(json.dumps([type(storage).__name__, (await storage.download("a/b.txt")).decode()]))
anyio.run(main)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the page was followed; its files are in the folder that programs are run from."""
    environment = Environment.create(tmp_path_factory.mktemp("stranger"))
    source, test = environment.folder / "source", environment.folder / "cwd"
    source.mkdir()
    for block in NAMED_BLOCK.finditer(PAGE.read_text("utf-8")):
        target = test if block["name"].startswith("test_") else source
        (target / block["name"]).write_text(block["code"], "utf-8")
    subprocess.run(
        [uv.find_uv_bin(), "build", "-q", "--wheel", str(source), "-o", str(environment.folder)], check=True, timeout=120
    )
    (wheel,) = environment.folder.glob("*.whl")
    environment.install(f"{built_wheel('indiaai-core')}[testing]", str(wheel))
    return environment


def test_the_backend_is_found_and_works(environment: Environment) -> None:
    """One variable selects it; nothing else in the environment was touched."""
    assert environment.evaluate(USE_IT, STORAGE_TYPE="ledger") == ["LedgerStorageService", "kept"]


def test_the_backend_keeps_every_promise(environment: Environment) -> None:
    """The page's test, a subclass with one fixture, passes: the suite runs from the wheel, far from this repository."""
    run = environment.call("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme_ledger.py")

    assert run.returncode == 0, run.stdout[-4000:]
    assert "passed" in run.stdout
