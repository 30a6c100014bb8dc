"""The import lines of a module that is written, in the order that ruff and isort want; imported by what writes one."""

from __future__ import annotations

import importlib
import sys

__all__ = ["Imports"]

LINE_CHARACTERS = 120


class Imports:
    """Collects what a module imports; made for one module, and rendered when all is known."""

    def __init__(self, package: str) -> None:
        """Begin with nothing.

        Args:
            package: The package that the module is of: what is imported from it stands last.
        """
        self._package = package
        self._names: dict[str, set[str]] = {}
        self._modules: set[str] = set()

    def add(self, module: str, name: str = "") -> None:
        """Import a name from a module, or the module itself; each may stand with ` as ` and an alias."""
        if name:
            self._names.setdefault(module, set()).add(name)
        else:
            self._modules.add(module)

    def add_door(self, module: str, name: str) -> None:
        """Import a name from the shortest package above a module that offers it, or else from the module."""
        parts = module.split(".")
        doors = [".".join(parts[:count]) for count in range(1, len(parts))]
        offered = (door for door in doors if name in getattr(importlib.import_module(door), "__all__", ()))
        self.add(next(offered, module), name)

    def render(self) -> str:
        """Return the lines, section by section, without a line break at the end."""
        sections: dict[int, list[str]] = {}
        for line, module in [*self._plain_lines(), *self._from_lines()]:
            sections.setdefault(self._section(module), []).append(line)
        return "\n\n".join("\n".join(sections[number]) for number in sorted(sections))

    def _plain_lines(self) -> list[tuple[str, str]]:
        return [(f"import {module}", module) for module in sorted(self._modules)]

    def _from_lines(self) -> list[tuple[str, str]]:
        return [(_from_line(module, sorted(names, key=_rank)), module) for module, names in sorted(self._names.items())]

    def _section(self, module: str) -> int:
        top = module.partition(" ")[0].partition(".")[0]
        if top in sys.stdlib_module_names:
            return 0
        return 2 if top == self._package else 1


def _from_line(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= LINE_CHARACTERS:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _rank(name: str) -> tuple[int, str, str]:
    # Constants, then classes, then the rest, as ruff's `order-by-type` has it.
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name.lower(), name
