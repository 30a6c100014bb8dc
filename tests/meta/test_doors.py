"""The front doors: what a package offers, and that it is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import house

PUBLIC_NAMES = Path(__file__).parent / "public_names.txt"
PUBLIC_SIGNATURES = Path(__file__).parent / "public_signatures.txt"

DOORS = [(package, path) for package in house.packages() for path in sorted(package.source.rglob("__init__.py"))]
MODULES = [(package, path) for package in house.packages() for path in sorted(package.source.rglob("*.py"))]

# These give their heavy names when they are first asked for (PEP 562): docs/decisions/lazy-front-door.md says why.
LAZY_DOORS = {
    "packages/indiaai-core/src/indiaai_core/__init__.py",
    "packages/indiaai-db/src/indiaai_db/__init__.py",
}


def label(value: object) -> str:
    """Name a parameter in a test's id."""
    return house.relative(value) if isinstance(value, Path) else ""


@pytest.mark.parametrize(("package", "path"), DOORS, ids=label)
def test_a_front_door_holds_re_exports_and_nothing_else(package: house.Package, path: Path) -> None:
    """An `__init__` is a docstring, imports of its own package's names, and `__all__`."""
    if house.relative(path) in LAZY_DOORS or "migrations" in path.parts:
        return
    tree = house.parse(path)

    others = [node for node in tree.body[1:] if not isinstance(node, ast.ImportFrom) and not _is_all(node)]
    foreign = [found.module for found in house.imports(path) if house.top(found.module) not in {package.module, "__future__"}]

    assert ast.get_docstring(tree), "a front door says what is behind it"
    assert [ast.unparse(node) for node in others] == []
    assert foreign == []


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


@pytest.mark.parametrize(("package", "path"), MODULES, ids=label)
def test_what_a_module_exports_is_there(package: house.Package, path: Path) -> None:
    """Every name in `__all__` exists, and every public function and class of the module is in it."""
    tree = house.parse(path)
    if path.name == "__main__.py" or {"migrations", "versions"} & set(path.parts):
        return
    module = import_module(package, path)
    exported = list(getattr(module, "__all__", []))
    defined = [
        node.name for node in tree.body if isinstance(node, house.Function | ast.ClassDef) and not node.name.startswith("_")
    ]

    assert exported, f"{module.__name__} has no __all__"
    assert [name for name in exported if not hasattr(module, name)] == []
    assert [name for name in exported if exported.count(name) > 1] == []
    if path.name != "__init__.py":
        assert [name for name in defined if name not in exported] == [], "rename to _name, or export"


def test_public_names_are_counted(request: pytest.FixtureRequest) -> None:
    """No public name comes or goes unnoticed.

    What is public is what the front doors export. Accept a change, and write its changelog fragment, with
    `nox -s meta -- --accept-public-names`.
    """
    found = [name for package in house.packages() for name in public_names(package)]

    compare(found, PUBLIC_NAMES, request)


def test_public_signatures_are_written_down(request: pytest.FixtureRequest) -> None:
    """No parameter, default, result or field of what is public changes unnoticed.

    docs/reference/compatibility.md says what may change in which release. Accept a change as for the names.
    """
    names = [name for package in house.packages() for name in public_names(package)]

    found = [line for name in names for line in signatures(name)]

    compare([re.sub(" at 0x[0-9a-f]+", "", line) for line in found], PUBLIC_SIGNATURES, request)


def signatures(name: str) -> Iterator[str]:
    """Give what a public function of ours is called with, or a class and its own public methods; nothing of other things."""
    door, _, attribute = name.partition(":")
    member = getattr(importlib.import_module(door), attribute)
    if not str(getattr(member, "__module__", "")).startswith("indiaai_"):
        return
    if inspect.isfunction(member):
        yield f"{name}{inspect.signature(member)}"
    if not inspect.isclass(member) or ".testing" in name:  # a suite's tests are promises, which have numbers
        return
    fields = list(getattr(member, "model_fields", ()))  # pydantic writes the types in its own way, which changes
    yield f"{name} {', '.join(fields)}" if fields else f"{name}({', '.join(base.__name__ for base in member.__bases__)})"
    for own, value in sorted(vars(member).items()):
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function) and (own == "__init__" or not own.startswith("_")):
            yield f"{name}.{own}{inspect.signature(function)}"
        elif isinstance(value, property):
            yield f"{name}.{own}"


def compare(found: Iterable[str], known: Path, request: pytest.FixtureRequest) -> None:
    """Hold what is public against what was written down, or write it down anew."""
    lines = sorted(set(found))
    if request.config.getoption("--accept-public-names"):
        known.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    written = known.read_text("utf-8").splitlines()

    came, went = sorted(set(lines) - set(written)), sorted(set(written) - set(lines))

    assert (came, went) == ([], []), f"came: {came}; went: {went}. To accept: nox -s meta -- --accept-public-names"


def public_names(package: house.Package) -> list[str]:
    """Return the names that a package's front doors export, as `module:name`."""
    edges = {package.source / "fastapi.py", package.source / "testing.py"}
    doors = [path for path in sorted(package.source.rglob("*.py")) if path.name == "__init__.py" or path in edges]
    modules = [import_module(package, path) for path in doors if "migrations" not in path.parts]
    return [f"{module.__name__}:{name}" for module in modules for name in getattr(module, "__all__", [])]


def import_module(package: house.Package, path: Path) -> ModuleType:
    """Import a module from where it is installed."""
    return importlib.import_module(house.module_name(path, package))


@pytest.mark.parametrize("package", house.packages(), ids=lambda package: package.name)
def test_what_is_exported_is_documented_and_typed(package: house.Package) -> None:
    """Every public class and function has a docstring, and the package tells type checkers that it is typed."""
    doors = [name.split(":") for name in public_names(package)]
    members = [(name, getattr(importlib.import_module(door), name)) for door, name in doors]
    defined = [(name, one) for name, one in members if inspect.isclass(one) or inspect.isfunction(one)]
    ours = [(name, one) for name, one in defined if house.top(one.__module__) == package.module]

    bare = [name for name, one in ours if not (one.__doc__ or "").strip()]

    assert bare == []
    assert (package.source / "py.typed").exists()
