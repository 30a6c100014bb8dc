"""The floors: who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import house

# The floor of each module and folder of the core. A module imports from its own floor and those below; on floors 3 to 5
# the modules and folders know nothing of their neighbours. What is not here has no place in the house yet.
FLOORS = {
    "errors": 0,
    "layers": 1,
    "environment": 1,
    "naming": 1,
    "settings": 1,
    "scan": 1,
    "discovery": 1,
    "composition": 1,
    "selection": 1,
    "spelling": 1,
    "wrapper_settings": 1,
    "hooks": 1,
    "mounts": 1,
    "platform": 2,
    "health": 2,
    "storage": 3,
    "queue": 3,
    "worker": 4,
    "wrappers": 4,
    "fastapi": 5,
    "cli": 5,
    "__main__": 6,
    "testing": 6,
}

# English words that are also names of backends: in the core they may stand in a sentence, but not alone in a string.
ENGLISH = {"local", "memory"}

CORE_FILES = sorted(house.core().source.rglob("*.py"))
PLUGIN_FILES = [(plugin, path) for plugin in house.plugins() for path in sorted(plugin.source.rglob("*.py"))]


def label(value: object) -> str:
    """Name a parameter in a test's id."""
    return house.relative(value) if isinstance(value, Path) else ""


def place(module: str) -> str:
    """Return the part of the core that a module belongs to; empty for the front door."""
    return module.partition(".")[2].partition(".")[0]


def core_modules() -> frozenset[str]:
    """Return the names of all modules of the core."""
    return frozenset(house.module_name(path, house.core()) for path in CORE_FILES)


@pytest.mark.parametrize("path", CORE_FILES, ids=house.relative)
def test_a_module_of_the_core_imports_from_its_floor_or_below(path: Path) -> None:
    """No module knows of a floor above it, and none of the upper floors of a neighbour on its own."""
    own = place(house.module_name(path, house.core()))
    if not own:
        return  # the front door stands above all
    assert own in FLOORS, f"{own} has no floor: give it one in FLOORS"

    wrong = []
    for found in house.imports(path, core_modules()):
        if found.module.split(".")[0] != house.core().module:
            continue
        other = place(found.module)
        is_allowed = other and (FLOORS[other] < FLOORS[own] or other == own or FLOORS[other] == FLOORS[own] < 3)
        if not is_allowed:
            wrong.append(f"line {found.line} imports {found.module}")

    assert not wrong, f"{own} is on floor {FLOORS[own]}: {'; '.join(wrong)}"


def test_the_core_has_no_cycle() -> None:
    """Following imports from any module never leads back to it."""
    known = core_modules()
    graph = {
        house.module_name(path, house.core()): {
            found.module for found in house.imports(path, known) if found.module in known and place(found.module)
        }
        for path in CORE_FILES
    }

    cycles = [name for name, targets in graph.items() if name in _reachable(graph, targets - {name})]

    assert not cycles, f"modules that import themselves in the end: {', '.join(sorted(cycles))}"


def _reachable(graph: dict[str, set[str]], start: set[str]) -> set[str]:
    seen: set[str] = set()
    pending = list(start)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += graph.get(name, ())
    return seen


@pytest.mark.parametrize(("plugin", "path"), PLUGIN_FILES, ids=label)
def test_a_plugin_imports_nothing_of_ours_but_itself_and_the_core(plugin: house.Package, path: Path) -> None:
    """Plugins do not know each other."""
    strangers = {package.module for package in house.plugins()} - {plugin.module}

    others = [found.module for found in house.imports(path) if house.top(found.module) in strangers]

    assert others == []


@pytest.mark.parametrize("path", CORE_FILES, ids=house.relative)
def test_the_core_names_no_plugin(path: Path) -> None:
    """No string and no import of the core holds a backend's name, a plugin's, or that of a library a plugin stands on.

    A layer's declaration names its default backend: the contract fixes those.
    """
    tree = house.parse(path)
    allowed = {id(node) for node in house.docstrings(tree)} | {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "default_backend"
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in allowed
    ] + [found.module for found in house.imports(path)]

    named = sorted({f"{name!r} in {text!r}" for name in _plugin_names() for text in texts if _names(name, text)})

    assert not named, "; ".join(named)


def _plugin_names() -> set[str]:
    own = set(map(house.distribution, house.core().requirements)) | {house.CORE}
    names = {name for plugin in house.plugins() for line in plugin.requirements for name in [house.distribution(line)]} - own
    for plugin in house.plugins():
        names |= {plugin.name, plugin.module, *(name for _, name, _ in plugin.backends)}
    return names


def _names(name: str, text: str) -> bool:
    if name in ENGLISH:
        return text.lower() == name
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text.lower()) is not None


def test_the_core_depends_on_no_plugin_and_on_nothing_that_a_plugin_brings() -> None:
    """What a plugin stands on comes with the plugin, and with nothing else."""
    ours = {package.name for package in house.plugins()}
    extras = {house.distribution(line) for line in house.core().requirements}
    always = {house.distribution(line) for line in house.core().settings["project"]["dependencies"]}

    assert not extras & ours
    assert always == {"pluggy", "importlib-metadata", "packaging", "pydantic", "pydantic-settings", "anyio"}
