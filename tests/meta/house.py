"""What stands in this repository, found by walking; imported by the tests of its rules."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
CORE = "indiaai-core"

# Where people look for code; everything else under the root is made by tools.
_FOLDERS = ("packages", "examples", "tests", "benchmarks", "docs")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Package:
    """One distribution under packages/."""

    folder: Path

    @property
    def name(self) -> str:
        """The distribution's name."""
        return self.folder.name

    @property
    def module(self) -> str:
        """The name it is imported by."""
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        """The folder of its modules."""
        return self.folder / "src" / self.module

    @property
    def settings(self) -> dict[str, Any]:
        """Its pyproject.toml."""
        return tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))

    @property
    def entry_points(self) -> dict[str, dict[str, str]]:
        """Its entry points: name and object by group."""
        return dict(self.settings["project"].get("entry-points", {}))

    @property
    def backends(self) -> list[tuple[str, str, str]]:
        """The backends it brings: layer, name and object."""
        groups = {group: points for group, points in self.entry_points.items() if group not in _OTHER_GROUPS}
        return [
            (group.partition(".")[2], name, value)
            for group, points in groups.items()
            if group.startswith("indiaai.")
            for name, value in points.items()
        ]

    @property
    def requirements(self) -> list[str]:
        """What it depends on, with every extra."""
        project = self.settings["project"]
        extras = project.get("optional-dependencies", {}).values()
        return [*project.get("dependencies", []), *(line for lines in extras for line in lines)]


_OTHER_GROUPS = ("indiaai.layers", "indiaai.hooks")


def packages() -> list[Package]:
    """Return all packages."""
    return [Package(path.parent) for path in sorted(ROOT.glob("packages/*/pyproject.toml"))]


def plugins() -> list[Package]:
    """Return all packages but the core."""
    return [package for package in packages() if package.name != CORE]


def strangers() -> list[Package]:
    """Return the examples that are distributions: packages as their author would have them in a repository of his own."""
    return [Package(path.parent) for path in sorted(ROOT.glob("examples/*/pyproject.toml")) if _is_built(path)]


def _is_built(project: Path) -> bool:
    return "build-system" in tomllib.loads(project.read_text("utf-8"))


def core() -> Package:
    """Return the core."""
    return Package(ROOT / "packages" / CORE)


def published_files() -> list[Path]:
    """Return the modules of all packages."""
    return [path for package in packages() for path in sorted(package.source.rglob("*.py"))]


def source_files() -> list[Path]:
    """Return the modules that are published or shown: those of the packages and of the examples."""
    shown = [path for path in _python_files("examples") if "tests" not in path.parts and "versions" not in path.parts]
    return [*published_files(), *shown]


def measured_files() -> list[Path]:
    """Return the modules that are held to the measures of sources: those, and the benchmarks."""
    return [*source_files(), *_python_files("benchmarks")]


def test_files() -> list[Path]:
    """Return the modules with tests."""
    return [path for path in all_files() if path.name.startswith("test_")]


def all_files() -> list[Path]:
    """Return every Python file of the repository."""
    return [ROOT / "noxfile.py", *(path for folder in _FOLDERS for path in _python_files(folder))]


def _python_files(folder: str) -> Iterator[Path]:
    ours = (path for path in sorted((ROOT / folder).rglob("*.py")))
    return (path for path in ours if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def pages() -> list[Path]:
    """Return every page that people read: the documentation, and the Markdown files beside the code."""
    patterns = ("*.md", "docs/**/*.md", "packages/*/*.md", "examples/*/*.md")
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def distribution(requirement: str) -> str:
    """Return the name in a requirement."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower()


def top(module: str) -> str:
    """Return the first part of a module's name."""
    return module.partition(".")[0]


def relative(path: Path) -> str:
    """Return a path as people write it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[Function]:
    """Give every function of a module, methods and inner ones included."""
    return (node for node in ast.walk(parse(path)) if isinstance(node, Function))


def outer_functions(path: Path) -> Iterator[Function]:
    """Give the functions that others can call: those of the module and of its classes, and none within a function."""
    for node in parse(path).body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, Function):
                yield inner


def docstrings(tree: ast.Module) -> list[ast.Constant]:
    """Return the constants that are docstrings, of attributes too."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


@dataclass(frozen=True)
class Import:
    """One name that a module imports at run time."""

    module: str
    line: int


def module_name(path: Path, package: Package) -> str:
    """Return a module's dotted name."""
    parts = path.relative_to(package.source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, known: frozenset[str] = frozenset()) -> list[Import]:
    """Return what a module imports at run time, anywhere in it; what only type checkers see is left out.

    Args:
        path: The module.
        known: Names of modules; `from package import module` then counts as an import of that module.
    """
    tree = parse(path)
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found += [Import(name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{name.name}" for name in node.names]
            found += [Import(name if name in known else node.module, node.lineno) for name in inner]
    return found
