"""What an import costs and does: nothing that nobody asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import house

# Heavy modules that no plugin is needed for, and that the front door must leave alone all the same.
HEAVY = {"asyncio", "anyio", "pytest", "pydantic", "pydantic_settings", "dotenv"}
HEAVY |= {"fastapi", "starlette", "uvicorn", "typer", "rich"}

PROGRAM = """
import json, sys, threading
import {module}
from indiaai_core import discovery, platform
print(json.dumps({{
    "loaded": sorted(sys.modules),
    "threads": threading.active_count(),
    "scanned": discovery._catalogue is not None,
    "platform": platform._default is not None,
}}))
"""


def fresh_import(module: str, folder: Path) -> dict[str, object]:
    """Import a module in a fresh interpreter and return what came with it."""
    command = [sys.executable, "-I", "-c", PROGRAM.format(module=module)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return dict(json.loads(run.stdout))


def test_importing_the_core_loads_nothing_heavy(tmp_path: Path) -> None:
    """No server, SDK, web framework, settings library or event loop comes with `import indiaai_core`."""
    needs = [line for plugin in house.plugins() for line in plugin.requirements]
    brought = {house.distribution(line).replace("-", "_") for line in needs}
    ours = {plugin.module for plugin in house.plugins()}
    own_needs = {"indiaai_core", "pluggy", "importlib_metadata", "packaging"}

    loaded = fresh_import("indiaai_core", tmp_path)["loaded"]

    assert isinstance(loaded, list)
    assert not set(loaded) & ((HEAVY | brought | ours) - own_needs)


@pytest.mark.parametrize("package", house.packages(), ids=lambda package: package.name)
def test_an_import_has_no_side_effect(package: house.Package, tmp_path: Path) -> None:
    """Importing a package starts no thread, looks for no plugin, makes no platform and leaves no file."""
    seen = fresh_import(package.module, tmp_path)

    assert (seen["threads"], seen["scanned"], seen["platform"]) == (1, False, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", house.plugins(), ids=lambda package: package.name)
def test_importing_a_plugin_loads_no_other_plugin_and_no_test_kit(package: house.Package, tmp_path: Path) -> None:
    """A plugin brings itself and the core alone."""
    others = {other.module for other in house.plugins()} - {package.module}

    loaded = fresh_import(package.module, tmp_path)["loaded"]

    assert isinstance(loaded, list)
    assert not set(loaded) & (others | {"pytest", "hypothesis", "indiaai_core.testing"})
