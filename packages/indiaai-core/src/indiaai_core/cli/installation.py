"""What is wrong with the installation: editable ones that are out of date, and requirements not met; imported by `check`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from importlib_metadata import Distribution, PackageNotFoundError, distribution
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from indiaai_core.discovery import CORE_DISTRIBUTION, catalogue, find_backend, find_layer
from indiaai_core.environment import Environment
from indiaai_core.errors import Fault
from indiaai_core.scan import Registration, canonical_name
from indiaai_core.selection import Selection

__all__ = ["stale_installs", "unmet_requirements"]

Points = set[tuple[str, str, str]]
"""Entry points of this product's groups: group, name, value."""


def stale_installs() -> list[Fault]:
    """Find editable installs whose source states other entry points than their metadata, which is read in its place.

    The metadata is written when the distribution is installed: a backend that was added to pyproject.toml since is not
    seen, and one that was moved does not load.
    """
    found: dict[str, Fault] = {}
    for entry in dict.fromkeys(sys.path):
        for record in sorted(Path(entry or ".").glob("*.dist-info/direct_url.json")):
            source = _editable_source(record)
            name = canonical_name(record.parent.name.partition("-")[0])
            if source is not None and name not in found:
                found.update((name, fault) for fault in _compare(name, record.parent, source))
    return list(found.values())


def unmet_requirements(selections: Iterable[Selection], environment: Environment) -> tuple[list[Fault], list[Fault]]:
    """Find what the core and the selected backends need, directly or not, and what is not installed or in another version.

    Installers see to it, and can be told not to. What is wrong with the core's own version is an error at selection.

    Returns:
        What stops something, and what is to be known: of other people's packages, one in a version that another one does
        not ask for is often meant so, by whoever overrode a pin.
    """
    registrations = [_registration(selection, environment) for selection in selections]
    core = [found for found in catalogue().registrations if found.distribution == CORE_DISTRIBUTION]
    walk = _Walk()
    for found in {found.distribution: found for found in [*core[:1], *registrations]}.values():
        walk.visit(found.distribution, found.requirements())
    return walk.faults, walk.caveats


class _Walk:
    """Goes from what distributions need to what that needs, by metadata alone; each is looked at once for each extra."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.caveats: list[Fault] = []
        self._seen: set[tuple[str, str]] = set()

    def visit(self, needing: str, lines: Iterable[str], *, extra: str = "", is_direct: bool = True) -> None:
        """Look at what a distribution needs of itself, or what one of its extras adds."""
        self._seen.add((canonical_name(needing), extra))
        for requirement in _applying(lines, extra):
            version, needs = _installed(requirement.name) or (None, [])
            if fault := _unmet(needing, requirement, version):
                (self.faults if is_direct or version is None else self.caveats).append(fault)
            for wanted in ("", *sorted(requirement.extras)):
                if (canonical_name(requirement.name), wanted) not in self._seen:
                    self.visit(requirement.name, needs, extra=wanted, is_direct=False)


def _editable_source(record: Path) -> Path | None:
    try:
        told = json.loads(record.read_text("utf-8"))
        is_editable = bool(told["dir_info"].get("editable"))
        return Path(url2pathname(urlsplit(told["url"]).path)) if is_editable else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # PEP 610: whatever else it says, it is no folder
        return None


def _compare(name: str, metadata: Path, source: Path) -> Iterator[Fault]:
    try:
        installed = {
            (point.group, point.name, point.value.replace(" ", ""))
            for point in Distribution.at(metadata).entry_points
            if point.group.startswith("indiaai.")
        }
    except Exception:  # noqa: BLE001 - whatever a parser makes of a malformed file, which is reported by itself
        return
    if not source.is_dir():
        if installed:
            remedy = f"pip install -e the folder that it is in now, or pip uninstall {name}"
            yield Fault(name, f"it was installed from {source}, which is gone", "a folder that is there", remedy)
        return
    stated = _stated(source / "pyproject.toml")
    if stated is not None and stated != installed:
        parts = [
            *(f"{group} {point} = {value} is stated and not installed" for group, point, value in sorted(stated - installed)),
            *(f"{group} {point} = {value} is installed and not stated" for group, point, value in sorted(installed - stated)),
        ]
        found = f"{source / 'pyproject.toml'} was changed since it was installed: {', '.join(parts)}"
        yield Fault(name, found, "metadata of the source as it is", f"pip install -e {source}")


def _stated(path: Path) -> Points | None:
    """Read the entry points that a source states in its pyproject.toml; None where another file may state them."""
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        project = told.get("project", {})
        plugins = told.get("tool", {}).get("poetry", {}).get("plugins")
        groups = project.get("entry-points", {}) if plugins is None else plugins
        if ("name" not in project and plugins is None) or "entry-points" in project.get("dynamic", ()):
            return None
        return {
            (group, name, value.replace(" ", ""))
            for group, points in groups.items()
            if group.startswith("indiaai.")
            for name, value in points.items()
        }
    except (OSError, ValueError, AttributeError):  # being edited, or not of this form: an installer will say
        return None


def _registration(selection: Selection, environment: Environment) -> Registration:
    layer = find_layer(selection.slot.layer)
    own = environment.for_instance(selection.slot.instance)
    return find_backend(layer, own.get(layer.variable) or layer.default_backend, variable=own.named(layer.variable))


def _applying(lines: Iterable[str], extra: str) -> Iterator[Requirement]:
    """Give the requirements that hold here: for an extra, those that it adds."""
    for text in lines:
        try:
            requirement = Requirement(text)
            is_of_itself, is_of_extra = (_holds(requirement, it) for it in ("", extra))
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):  # an installer could not tell either
            continue
        if is_of_extra and not (extra and is_of_itself):
            yield requirement


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(name: str) -> tuple[str, list[str]] | None:
    """Return the version that is installed, and what that needs."""
    try:
        found = distribution(name)
        return found.version or "", found.requires or []
    except (PackageNotFoundError, ValueError):  # not there, or a name that cannot be one
        return None


def _unmet(needing: str, requirement: Requirement, installed: str | None) -> Fault | None:
    found = f"{requirement.name} is not installed"
    if installed is not None:
        try:
            version = Version(installed)
        except InvalidVersion:  # of metadata that is malformed, or older than the rules: nobody can say
            return None
        if requirement.specifier.contains(version, prereleases=True):
            return None
        found = f"{requirement.name} {version} is installed"
    needed = f"{requirement.name}{requirement.specifier}"
    return Fault(needing, found, f"{needed}, which it needs", f'pip install "{needed}"')
