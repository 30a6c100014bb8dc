"""Writes a package from a template, where there is none yet; imported by the commands when one is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from indiaai_core.cli.output import print_failure, print_json, print_text
from indiaai_core.errors import ConfigurationError

__all__ = ["Plan", "begin", "check_name", "class_stem", "requirement"]

TEMPLATES = Path(__file__).parent / "templates"
MAX_NAME_CHARACTERS = 30
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written.

    Attributes:
        template: The template's folder under `templates`.
        distribution: The distribution's name, and that of its folder.
        answers: What the template asks for.
        next_step: What the author does first, in one sentence.
    """

    template: str
    distribution: str
    answers: Mapping[str, object]
    next_step: str


def begin(plan: Callable[[], Plan], *, into: Path, as_json: bool) -> int:
    """Write a package, tell what came of it, and return the exit status: 2 where it was not asked for rightly.

    Args:
        plan: Says what is to be written, or raises ConfigurationError.
        into: The folder in which the package's own is made; it is made too where it is missing.
        as_json: Whether a program reads the answer.
    """
    try:
        wanted = plan()
        folder = into / wanted.distribution
        _write(wanted, folder)
    except ConfigurationError as error:
        print_failure(str(error))
        return 2
    except OSError as error:
        print_failure(f"Nothing could be written into {into}: {error}. Choose another folder with --into.")
        return 1
    _show(wanted, folder, as_json=as_json)
    return 0


def check_name(name: str, what: str) -> str:
    """Return a name that a distribution, a module, a variable and a class can be named after.

    Args:
        name: The name.
        what: What it is the name of, for the message.

    Raises:
        ConfigurationError: It is none.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARACTERS:
        raise ConfigurationError(
            f"{name[:80]!r} cannot be the name of a {what}: give 1 to {MAX_NAME_CHARACTERS} lower-case letters and digits, "
            "words joined by '_', a letter first, such as azure or google_drive."
        )
    return name


def class_stem(name: str) -> str:
    """Return what the classes of a name begin with: `google_drive` gives `GoogleDrive`."""
    return "".join(word.capitalize() for word in name.split("_"))


def requirement(distribution: str, version: str) -> str:
    """Return a requirement from this minor version on, up to the next major one."""
    from packaging.version import Version

    found = Version(version)
    return f"{distribution}>={found.major}.{found.minor},<{found.major + 1}"


def _write(plan: Plan, folder: Path) -> None:
    try:
        from copier import run_copy
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "copier":
            raise
        raise ConfigurationError('Beginning a package needs copier. Install it: pip install "indiaai-core[new]"') from error
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(f"{folder} is there already, and is left as it is: move it away, or choose --into FOLDER.")
    if _is_installed(plan.distribution):
        raise ConfigurationError(f"{plan.distribution} is installed: choose another name, or uninstall it first.")
    folder.parent.mkdir(parents=True, exist_ok=True)  # here, where a reason that it cannot be is still plain
    for template in (plan.template, "shared"):
        run_copy(f"{TEMPLATES / template}", folder, data=dict(plan.answers), defaults=True, quiet=True)


def _is_installed(distribution: str) -> bool:
    from importlib_metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _show(plan: Plan, folder: Path, *, as_json: bool) -> None:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    commands = [f"cd {folder}", "pip install -e . --group test", "indiaai plugins", "pytest"]
    if as_json:
        print_json(
            {
                "distribution": plan.distribution,
                "folder": f"{folder}",
                "files": files,
                "commands": commands,
                "next_step": plan.next_step,
            }
        )
        return
    print_text(f"{folder}: {len(files)} files.")
    print_text("\n".join(["Next:", *(f"  {command}" for command in commands), plan.next_step]))
