"""One backend's name threads through everything, so that a hint can be computed and a path guessed."""

from __future__ import annotations

import importlib
import re

import pytest
from packaging.requirements import Requirement

import house

# indiaai-db is the database layer: it declares the layer, and brings two backends.
WHOLE_LAYERS = {"indiaai-db"}

# "In memory" is what everybody calls it.
OTHER_CLASS_NAMES = {"MemoryQueueService": "InMemoryQueueService"}

BACKENDS = [(package, layer, name, value) for package in house.plugins() for layer, name, value in package.backends]
PACKAGES = house.packages()


def label(value: object) -> str:
    """Name a parameter in a test's id."""
    return value.name if isinstance(value, house.Package) else str(value)


@pytest.mark.parametrize(("package", "layer", "name", "value"), BACKENDS, ids=label)
def test_a_backend_is_named_by_the_rule(package: house.Package, layer: str, name: str, value: str) -> None:
    """Distribution, import, entry point, classes and page carry the layer's and the backend's name."""
    module, _, attribute = value.partition(":")
    backend = getattr(importlib.import_module(module), attribute)
    title = name.capitalize()
    expected = f"{title}{layer.capitalize()}Service"

    assert package.name in {f"indiaai-{layer}-{name}", *WHOLE_LAYERS}
    assert module.split(".")[0] == package.module
    assert attribute == OTHER_CLASS_NAMES.get(expected, expected)
    assert backend.settings_class is None or backend.settings_class.__name__ == f"{title}Settings"
    assert "contract_version" in vars(backend), "state the contract's version in the backend's own class body"
    assert (house.ROOT / "docs" / "reference" / "backends" / f"{layer}-{name}.md").exists()


@pytest.mark.parametrize("package", house.plugins(), ids=label)
def test_a_plugin_brings_something(package: house.Package) -> None:
    """A package that registers nothing would be installed in vain."""
    assert any(group.startswith("indiaai.") for group in package.entry_points)


@pytest.mark.parametrize("package", PACKAGES, ids=label)
def test_a_package_has_the_house_s_shape(package: house.Package) -> None:
    """Every package has its README, licence, types, tests, and takes the one version and the one floor of Python."""
    settings = package.settings
    project = settings["project"]

    missing = [name for name in ("README.md", "LICENSE", "tests") if not (package.folder / name).exists()]

    assert missing == []
    assert (package.source / "py.typed").exists()
    assert list(package.folder.glob("tests/**/test_*.py")), "a package without tests promises nothing"
    assert project["name"] == package.name
    assert project["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "../../VERSION.py"
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"


@pytest.mark.parametrize("package", house.plugins(), ids=label)
def test_a_plugin_asks_for_a_core_that_this_version_is(package: house.Package) -> None:
    """What a plugin requires of the core fits the version that is released with it, and excludes the next major one."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', (house.ROOT / "VERSION.py").read_text("utf-8"), re.MULTILINE)
    needs = [Requirement(line) for line in package.settings["project"]["dependencies"]]

    (core,) = (need for need in needs if need.name == house.CORE)

    assert core.specifier.contains(version)
    assert not core.specifier.contains(f"{int(version.split('.')[0]) + 1}.0")


def test_no_file_of_the_root_lists_the_packages() -> None:
    """Adding a package edits no existing file: sessions, workspace and site find it by walking."""
    files = ["noxfile.py", "pyproject.toml", "mkdocs.yml", "docs/.nav.yml", ".ci/run"]

    naming = {
        file: package.name
        for file in files
        for package in house.plugins()
        if package.name in (house.ROOT / file).read_text("utf-8")
    }

    assert naming == {}
