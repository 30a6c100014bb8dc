"""Installing and uninstalling built wheels in environments that hold nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import uv

from environments import Environment, built_wheel, write_wheel

# What `pip install indiaai-core` must never bring: a server, an SDK, a web framework, a database, a command line, a test kit.
NEVER_WITH_THE_CORE = {"fastapi", "starlette", "uvicorn", "boto3", "botocore", "redis", "sqlalchemy", "alembic", "asyncpg"}
NEVER_WITH_THE_CORE |= {"typer", "rich", "click", "pytest", "hypothesis", "httpx", "httpx2", "aiohttp", "requests"}

USE_STORAGE = """
import anyio, json
from indiaai_core import get_storage_service
async def main():
    storage = get_storage_service()
    await storage.upload("a/b.txt", b"kept", "text/plain")
    print(json.dumps([type(storage).__name__, (await storage.download("a/b.txt")).decode()]))
    await storage.aclose()
anyio.run(main)
"""
ASK_FOR_STORAGE = "from indiaai_core import get_storage_service\nget_storage_service()"
LIST_BACKENDS = (
    "import json\nfrom indiaai_core.discovery import catalogue\nprint(json.dumps(catalogue().names('indiaai.storage')))"
)

# A whole backend, as somebody who never saw this repository would write it.
BACKEND = '''
"""Objects in a dictionary."""

from indiaai_core import ObjectNotFound, StorageService
from indiaai_core.storage import check_expiry, normalize_key


class LedgerStorageService(StorageService):
    contract_version = 1

    def __init__(self):
        self.objects = {}

    async def upload(self, file_key, file_data, content_type="text/plain", *, if_absent=False, metadata=None):
        key = normalize_key(file_key)
        self.objects[key] = bytes(file_data)
        return f"ledger:{key}"

    async def download(self, file_key):
        key = normalize_key(file_key)
        if key not in self.objects:
            raise ObjectNotFound(key)
        return self.objects[key]

    async def get_url(self, file_key, expires_in=3600):
        check_expiry(expires_in)
        return f"ledger:{normalize_key(file_key)}"

    async def delete(self, file_key):
        return self.objects.pop(normalize_key(file_key), None) is not None
'''
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-ledger"
version = "1.0"
dependencies = ["indiaai-core>=0.1,<1"]

[project.entry-points."indiaai.storage"]
ledger = "acme_ledger:LedgerStorageService"
"""
LAYER = '''
"""A layer of a stranger's."""

from abc import abstractmethod

from indiaai_core import Layer, Service


class GreetingService(Service):
    @abstractmethod
    def greet(self, name): ...


class PlainGreetingService(GreetingService):
    contract_version = 1

    def greet(self, name):
        return f"Namaste, {name}"


LAYER = Layer("greeting", GreetingService, "plain")
'''


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the core and nothing else; no test changes it."""
    environment = Environment.create(tmp_path_factory.mktemp("alone"))
    environment.install(built_wheel("indiaai-core"))
    return environment


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with a good backend among everything that can be wrong with others; no test changes it."""
    folder = tmp_path_factory.mktemp("crowded")
    environment = Environment.create(folder)
    environment.install(built_wheel("indiaai-core"), built_wheel("indiaai-storage-local"))
    environment.install(
        _wheel(folder, "acme-twin", "twin", BACKEND),
        _wheel(folder, "zebra-twin", "twin", BACKEND),
        _wheel(folder, "acme-raising", "raising", "raise RuntimeError('no licence found')"),
        _wheel(folder, "acme-lacking", "lacking", "import a_library_that_is_not_there"),
        _wheel(folder, "acme-future", "future", BACKEND, requires=("indiaai-core>=99",)),
        with_requirements=False,
    )
    _leave_broken_metadata(environment.site)
    return environment


def _wheel(folder: Path, name: str, backend: str, source: str, requires: tuple[str, ...] = ("indiaai-core",)) -> str:
    module = name.replace("-", "_")
    points = f"[indiaai.storage]\n{backend} = {module}:LedgerStorageService\n"
    return write_wheel(folder, name, modules={f"{module}.py": source}, entry_points=points, requires=requires)


def _leave_broken_metadata(site: Path) -> None:
    malformed, binary = site / "malformed-1.0.dist-info", site / "binary-1.0.dist-info"
    for folder in (malformed, binary):
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name.partition('-')[0]}\nVersion: 1.0\n")
    (malformed / "entry_points.txt").write_text("[console_scripts]\nthis line has no equals sign\n")
    (binary / "entry_points.txt").write_bytes(b"[console_scripts]\n\xff\xfe = x:y\n")
    (site / "half_removed-1.0.dist-info").mkdir()
    (site / "half_removed-1.0.dist-info" / "entry_points.txt").write_text("[indiaai.storage]\nghost = ghost:Backend\n")


def test_the_core_alone_brings_no_server_no_sdk_and_no_web_framework(alone: Environment) -> None:
    """`pip install indiaai-core` installs the core and the few libraries it stands on."""
    names = alone.names()

    assert "indiaai-core" in names
    assert not names & NEVER_WITH_THE_CORE
    assert len(names) <= 16, sorted(names)


def test_without_a_backend_the_error_gives_the_line_that_installs_it(alone: Environment) -> None:
    """The default backend is one more thing to install, and the error says how."""
    failure = alone.failure(ASK_FOR_STORAGE)

    assert failure["kind"] == "BackendNotInstalled"
    assert "pip install indiaai-storage-local" in failure["says"]


def test_the_command_line_without_its_extra_says_what_to_install(alone: Environment) -> None:
    """`indiaai` is there with the core, and asks for `[cli]` in words instead of a traceback."""
    run = alone.call("indiaai", "plugins")

    assert run.returncode == 2
    assert 'pip install "indiaai-core[cli]"' in run.stderr
    assert "Traceback" not in run.stderr


def test_installing_a_backend_makes_it_appear_and_uninstalling_makes_it_vanish(tmp_path: Path) -> None:
    """Nothing but pip is asked: no line of code, no list, no cache changes."""
    environment = Environment.create(tmp_path)
    environment.install(built_wheel("indiaai-core"))
    before = environment.evaluate(LIST_BACKENDS)

    environment.install(built_wheel("indiaai-storage-local"))
    during, works = environment.evaluate(LIST_BACKENDS), environment.evaluate(USE_STORAGE)
    environment.uninstall("indiaai-storage-local")
    after, failure = environment.evaluate(LIST_BACKENDS), environment.failure(ASK_FOR_STORAGE)

    assert (before, during, after) == ([], ["local"], [])
    assert works == ["LocalStorageService", "kept"]
    assert failure["kind"] == "BackendNotInstalled"
    assert "pip install indiaai-storage-local" in failure["says"]


def test_a_stranger_s_backend_and_a_stranger_s_layer_appear_with_no_change(tmp_path: Path) -> None:
    """A package built from five lines of TOML and one module is a backend like any other, and a layer is as easy."""
    source = tmp_path / "acme-ledger"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "acme_ledger.py").write_text(BACKEND)
    subprocess.run([uv.find_uv_bin(), "build", "-q", "--wheel", str(source), "-o", str(tmp_path)], check=True, timeout=120)
    points = (
        "[indiaai.layers]\ngreeting = acme_greeting:LAYER\n[indiaai.greeting]\nplain = acme_greeting:PlainGreetingService\n"
    )
    layer = write_wheel(tmp_path, "acme-greeting", modules={"acme_greeting.py": LAYER}, entry_points=points)
    environment = Environment.create(tmp_path)

    environment.install(built_wheel("indiaai-core"), str(next(tmp_path.glob("acme_ledger*.whl"))), layer)
    works = environment.evaluate(USE_STORAGE, STORAGE_TYPE="ledger")
    greets = environment.evaluate(
        "import json\nfrom indiaai_core import get_service\nprint(json.dumps(get_service('greeting').greet('Asha')))"
    )

    assert works == ["LedgerStorageService", "kept"]
    assert greets == "Namaste, Asha"


def test_a_good_backend_works_among_everything_that_can_be_wrong_with_others(crowded: Environment) -> None:
    """Plugins that raise, clash or do not fit, and malformed or half-removed metadata, stop nobody who did not ask."""
    assert crowded.evaluate(USE_STORAGE) == ["LocalStorageService", "kept"]


def test_two_distributions_with_one_name_are_both_named_and_one_can_be_pinned(crowded: Environment) -> None:
    """Which of two wins is never left to the order of a folder."""
    failure = crowded.failure(ASK_FOR_STORAGE, STORAGE_TYPE="twin")
    pinned = crowded.evaluate(USE_STORAGE, STORAGE_TYPE="twin@zebra-twin")

    assert failure["kind"] == "PluginConflict"
    assert "acme-twin and zebra-twin" in failure["says"]
    assert "STORAGE_TYPE=twin@acme-twin" in failure["says"]
    assert pinned == ["LedgerStorageService", "kept"]


@pytest.mark.parametrize(
    ("backend", "distribution", "reason"),
    [
        ("raising", "acme-raising", "RuntimeError: no licence found"),
        ("lacking", "acme-lacking", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
    ],
)
def test_a_plugin_that_does_not_load_is_named_and_not_called_missing(
    crowded: Environment, backend: str, distribution: str, reason: str
) -> None:
    """Whoever selects it hears which distribution is broken and why, and is not told to install what is there."""
    failure = crowded.failure(ASK_FOR_STORAGE, STORAGE_TYPE=backend)

    assert failure["kind"] == "PluginLoadError"
    assert distribution in failure["says"]
    assert reason in failure["says"]


def test_a_plugin_for_another_core_is_refused_by_name(crowded: Environment) -> None:
    """A plugin whose metadata asks for a newer core is not loaded, and the error says which side to upgrade."""
    failure = crowded.failure(ASK_FOR_STORAGE, STORAGE_TYPE="future")

    assert failure["kind"] == "ContractMismatch"
    assert "acme-future 1.0" in failure["says"]
    assert "indiaai-core>=99" in failure["says"]


def test_a_half_removed_backend_is_not_there(crowded: Environment) -> None:
    """What an interrupted uninstall left behind is no backend."""
    assert "ghost" not in crowded.evaluate(LIST_BACKENDS)
    assert crowded.failure(ASK_FOR_STORAGE, STORAGE_TYPE="ghost")["kind"] == "BackendNotInstalled"
