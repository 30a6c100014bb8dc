"""Reads the entry points of this product's groups, in one pass over what is installed; imported by discovery alone.

The standard library, its backport and everything built on them parse the entry points of every distribution and stop at
the first malformed file. Here a file is parsed, by importlib-metadata, only if it holds one of our groups, so another
package's broken metadata cannot stop the start, and a scan costs one directory listing and one read per distribution.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["Problem", "Registration", "canonical_name", "examine", "scan"]

_GROUP_PREFIX = "indiaai."
_GROUP_MARK = b"[indiaai."
_CHUNK_BYTES = 16384  # a larger buffer is mapped anew for each file, which took a third of the scan
_METADATA_FILE = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry point of one installed distribution.

    Attributes:
        group: The entry point's group, such as `indiaai.storage`.
        name: Its name: for a backend, what `<LAYER>_TYPE` selects.
        value: The object it stands for, as `module:attribute`.
        distribution: The distribution's name, normalised (lower case, `-`).
        version: The distribution's version.
        location: Its metadata folder.
    """

    group: str
    name: str
    value: str
    distribution: str
    version: str
    location: str

    def load(self) -> object:
        """Import the module and return the object. Whatever the module raises comes out as it is."""
        from importlib_metadata import EntryPoint

        return EntryPoint(self.name, self.value, self.group).load()

    def requirements(self) -> list[str]:
        """Return the distribution's requirements as its metadata states them."""
        from importlib_metadata import Distribution

        # Inside an archive nothing was installed, so no installer's check was overlooked.
        return (Distribution.at(self.location).requires or []) if os.path.isdir(self.location) else []


@dataclass(frozen=True, slots=True)
class Problem:
    """Metadata of an installed distribution that cannot be read.

    Attributes:
        distribution: The distribution's name, as far as its folder tells.
        location: The file or folder at fault.
        reason: What is wrong with it.
    """

    distribution: str
    location: str
    reason: str

    def __str__(self) -> str:
        """Render the problem as one line."""
        return f"{self.distribution}: {self.reason} ({self.location})"


@dataclass(frozen=True, slots=True)
class _Found:
    """A metadata folder that mentions one of our groups."""

    folder: str
    stem: str
    suffix: str

    @property
    def name(self) -> str:
        return canonical_name(self.stem.partition("-")[0])


def canonical_name(name: str) -> str:
    """Return a distribution's name in the form that tells whether two names are one: lower case, `-` for `_` and `.`."""
    return name.lower().replace("_", "-").replace(".", "-")


def scan(paths: Iterable[str] | None = None) -> tuple[list[Registration], list[Problem]]:
    """Read the registrations of every installed distribution, the first on the path winning as at an import.

    Args:
        paths: Folders and archives to look in; `sys.path` where None.

    Returns:
        The registrations in the order they were found, and the problems met on the way.
    """
    registrations: list[Registration] = []
    problems: list[Problem] = []
    earlier: dict[str, list[str]] = {}
    for entry in dict.fromkeys(sys.path if paths is None else paths):
        try:
            folders = [name for name in os.listdir(entry or ".") if name.endswith((".dist-info", ".egg-info"))]
        except NotADirectoryError:
            registrations += [found for found in _read_archive(entry, problems) if not _is_there(earlier, found.distribution)]
            continue
        except OSError:  # a path entry need not exist
            continue
        for found in _newest_of_each(_candidates(entry or ".", folders), problems):
            if not _is_there(earlier, found.name):
                registrations += _read(found, problems)
        for folder in folders:
            name = canonical_name(folder.rpartition(".")[0].partition("-")[0])
            earlier.setdefault(name, []).append(f"{entry or '.'}/{folder}")
    return registrations, problems


def _is_there(earlier: dict[str, list[str]], name: str) -> bool:
    """Tell whether a distribution is installed earlier on the path; what an uninstall left behind hides nothing."""
    return any(_has_metadata(folder) for folder in earlier.get(name, ()))


def _has_metadata(folder: str) -> bool:
    return os.path.isfile(folder) or os.path.exists(f"{folder}/{_METADATA_FILE[os.path.splitext(folder)[1]]}")


def _candidates(entry: str, folders: list[str]) -> list[_Found]:
    return [
        _Found(f"{entry}/{folder}", *os.path.splitext(folder))
        for folder in folders
        if _mentions_us(f"{entry}/{folder}/entry_points.txt")
    ]


def _mentions_us(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:  # no entry points, or not ours to read: `examine` tells which
        return False
    try:
        text = chunk = os.read(descriptor, _CHUNK_BYTES)
        while len(chunk) == _CHUNK_BYTES:
            chunk = os.read(descriptor, _CHUNK_BYTES)
            text += chunk
        return _GROUP_MARK in text
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _newest_of_each(found: list[_Found], problems: list[Problem]) -> list[_Found]:
    """Leave out what an installer left behind: folders without metadata, and all but the newest of one name."""
    newest: dict[str, _Found] = {}
    for candidate in found:
        if not _has_metadata(candidate.folder):
            problems.append(Problem(candidate.name, candidate.folder, "half removed: its metadata file is missing"))
            continue
        rival = newest.setdefault(candidate.name, candidate)
        if rival is not candidate:
            problems.append(Problem(candidate.name, candidate.folder, f"installed twice, also as {rival.folder}"))
            newest[candidate.name] = max(rival, candidate, key=_sortable_version)
    return list(newest.values())


def _sortable_version(found: _Found) -> Version:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(_version(found))
    except InvalidVersion:
        return Version("0")


def _version(found: _Found) -> str:
    version = found.stem.partition("-")[2]
    if version and found.suffix == ".dist-info":
        return version
    from importlib_metadata import Distribution

    return str(Distribution.at(found.folder).version or "0")


def _read(found: _Found, problems: list[Problem]) -> list[Registration]:
    from importlib_metadata import Distribution

    try:
        return _registrations(Distribution.at(found.folder), found.name, _version(found), found.folder)
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a malformed file
        problems.append(Problem(found.name, f"{found.folder}/entry_points.txt", f"malformed: {error}"))
        return []


def _read_archive(entry: str, problems: list[Problem]) -> list[Registration]:
    # A zip archive on the path (a zipapp) holds few distributions: importlib-metadata reads them whole.
    from importlib_metadata import distributions

    try:
        return [
            registration
            for distribution in distributions(path=[entry])
            for registration in _registrations(distribution, canonical_name(distribution.name), distribution.version, entry)
        ]
    except Exception as error:  # noqa: BLE001 - a file that is no archive, or malformed metadata in one
        problems.append(Problem(os.path.basename(entry), entry, f"cannot be searched for plugins: {error}"))
        return []


def _registrations(distribution: Any, name: str, version: str, location: str) -> list[Registration]:
    return [
        Registration(point.group, point.name, point.value, name, version, location)
        for point in distribution.entry_points
        if point.group.startswith(_GROUP_PREFIX)
    ]


def examine(paths: Iterable[str] | None = None) -> list[Problem]:
    """Read all metadata of all installed distributions, ours or not, and return what is wrong with it.

    Slow on purpose: `indiaai check` calls it to name the package that stops other libraries' starts.
    """
    from pathlib import Path  # 5 ms that a start does not need

    from importlib_metadata import Distribution

    problems: list[Problem] = []
    for entry in dict.fromkeys(sys.path if paths is None else paths):
        folder = Path(entry or ".")
        if not folder.is_dir():
            continue
        for metadata in sorted([*folder.glob("*.dist-info"), *folder.glob("*.egg-info")]):
            name = canonical_name(metadata.name.partition("-")[0].removesuffix(".egg"))
            if metadata.is_dir() and not (metadata / _METADATA_FILE[metadata.suffix]).exists():
                problems.append(Problem(name, str(metadata), "half removed: its metadata file is missing"))
                continue
            try:
                list(Distribution.at(metadata).entry_points)
            except Exception as error:  # noqa: BLE001 - whatever a parser makes of a malformed file
                problems.append(Problem(name, str(metadata / "entry_points.txt"), f"malformed: {error}"))
    return problems
