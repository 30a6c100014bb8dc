"""A stranger's package needs nothing but what is published, and nothing here knows it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import house

STRANGERS = house.strangers()
FILES = [(stranger, path) for stranger in STRANGERS for path in sorted(stranger.folder.rglob("*.py"))]

# What an author may import from: the front doors, and the settings, which the front door gives lazily in part.
DOORS = {"indiaai_core", "indiaai_core.storage", "indiaai_core.queue", "indiaai_core.settings", "indiaai_core.testing"}


def label(value: object) -> str:
    """Name a parameter in a test's id."""
    return house.relative(value) if isinstance(value, Path) else value.name if isinstance(value, house.Package) else ""


@pytest.mark.parametrize(("stranger", "path"), FILES, ids=label)
def test_a_stranger_takes_what_the_doors_offer(stranger: house.Package, path: Path) -> None:
    """No module behind a door is imported, no name that is not exported, and no plugin of the house."""
    ours = {package.module for package in house.packages()}

    found = [node for node in ast.walk(house.parse(path)) if isinstance(node, ast.ImportFrom)]
    taken = [(node.module or "", name.name) for node in found for name in node.names if house.top(node.module or "") in ours]

    assert {module for module, _ in taken} <= DOORS
    assert [name for module, name in taken if name not in importlib.import_module(module).__all__] == []
    assert not {house.top(one.module) for one in house.imports(path)} & (ours - {"indiaai_core"})


@pytest.mark.parametrize("stranger", STRANGERS, ids=label)
def test_a_stranger_s_project_stands_by_itself(stranger: house.Package) -> None:
    """Its pyproject.toml says nothing that holds in this repository alone, and its folder has all that is published."""
    project = stranger.settings["project"]
    (core,) = (need for need in map(Requirement, project["dependencies"]) if need.name == house.CORE)

    missing = [name for name in ("README.md", "LICENSE", "CHANGELOG.md", "tests") if not (stranger.folder / name).exists()]

    assert missing == []
    assert (stranger.source / "py.typed").exists()
    assert "tool" not in stranger.settings
    assert "version" in project
    assert core.specifier.contains("0.1.0")
    assert not core.specifier.contains("1.0")
    assert project["name"] == stranger.name


@pytest.mark.parametrize("stranger", STRANGERS, ids=label)
def test_nothing_in_the_product_knows_a_stranger(stranger: house.Package) -> None:
    """It is found by walking and chosen by a variable: no package, session or list names it."""
    files = [*house.published_files(), *house.ROOT.glob("packages/*/pyproject.toml")]
    files += [house.ROOT / name for name in ("noxfile.py", "pyproject.toml", "mkdocs.yml", "docs/.nav.yml", ".ci/run")]

    texts = {house.relative(path): path.read_text("utf-8") for path in files}

    assert [name for name, text in texts.items() if stranger.name in text or stranger.module in text] == []
