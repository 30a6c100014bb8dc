"""Writes the pages that the code can tell: settings, errors, hooks, capabilities, promises; run by people and tests/meta.

`python docs/reference.py` writes them; with `--check` it changes nothing and fails where a page does not say what the
code says. Packages are found by walking. Run it where all of them are installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "reference"
NOTE = "<!-- Written by docs/reference.py from the code: change the code, then run that. -->"

SETTINGS = """# Settings

Variables come from the environment, else from `.env` in the working directory. A named instance reads each of its
variables with the prefix `<NAME>_` first: `ARCHIVE_R2_BUCKET_NAME`, then `R2_BUCKET_NAME`.

## Selecting a backend

| variable | default | backends in this repository |
| --- | --- | --- |
"""

REST = """
## Wrappers and the rest

| variable | default | what it is |
| --- | --- | --- |
"""

OTHERS = """| `INDIAAI_STRICT` | `0` | with `1`, a variable that looks like a setting and is none is an error, not a warning |
| `INDIAAI_LOG_FORMAT` | `text` | what `indiaai worker` and `indiaai db relay` write: `text`, or `json` for one object a line |
| `INDIAAI_TEST_POSTGRESQL_URL` | not set | where `pytest --database postgresql` makes a database; unset: one is started |
"""

ERRORS = """# Errors

Every error that indiaai raises is an `IndiaAIError`. The class tells whether a retry may help: `BackendUnavailable` and
`QueueFull` pass, the others stay. A client library's own exception is the `__cause__`. Import the core's from
`indiaai_core`, another package's from its own front door. The last column is the HTTP status that the FastAPI integration
answers with where an endpoint lets the error out.

| error | is a | what happened | status |
| --- | --- | --- | --- |
"""

HOOKS = """# Hooks

A backend is what exactly one plugin answers; a hook is what any number may answer. Register a module, or an object, whose
functions are marked `@hookimpl` as an entry point in the group `indiaai.hooks`.
"""

CAPABILITIES = """# Capabilities

What a backend can do beyond the abstract methods of its layer. It declares each on its class, and the
[conformance suite](promises.md) tests exactly those, and that a call which needs another raises `Unsupported`. An application
that states its needs, `Platform(requires={"storage": {"presign"}})`, is told of a lack at start and not by a call.
`indiaai plugins --load` shows what the installed backends declare.
"""

PROMISES = """# Promises

What every backend of a layer does, as its conformance suite checks it. A promise that needs a capability which a backend
does not declare is checked the other way round: the backend raises `Unsupported`.
"""


def packages() -> list[str]:
    """Return the import names of all packages, the core first."""
    names = [path.parent.name.replace("-", "_") for path in ROOT.glob("packages/*/pyproject.toml")]
    return sorted(names, key=lambda name: (name != "indiaai_core", name))


def modules(package: str) -> Iterator[ModuleType]:
    """Import and give every module of a package; migrations are scripts and not modules."""
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def classes(base: type[Any]) -> list[type[Any]]:
    """Return every class of ours under a base, by package, module and name."""
    found = {
        member: None
        for package in packages()
        for module in modules(package)
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member is not base and member.__module__ == module.__name__
    }
    return [member for member in found if not member.__name__.startswith("_")]


def sentence(thing: object) -> str:
    """Return the first sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", text)[0]


def row(*cells: str) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def settings() -> str:
    """List every variable: those that select a backend, and those that a backend reads."""
    text = SETTINGS
    for layer, backends in layers():
        text += row(f"`{layer.variable}`", f"`{layer.default_backend}`", ", ".join(f"`{name}`" for name in backends))
    text += REST
    projects = [tomllib.loads(path.read_text("utf-8"))["project"] for path in sorted(ROOT.glob("packages/*/pyproject.toml"))]
    wrappers = sorted(name for it in projects for name in it.get("entry-points", {}).get("indiaai.wrappers", {}))
    for layer, _ in layers():
        what = f"wrappers in front of it, the outermost first: {', '.join(f'`{name}`' for name in wrappers)}, or a plugin's"
        text += row(f"`{layer.wrappers_variable}`", "empty", what)
    text += OTHERS
    base = importlib.import_module("indiaai_core.settings").BackendSettings
    return text + "".join(settings_of(settings_class) for settings_class in classes(base) if settings_class.model_fields)


def layers() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give each layer that a package declares, and the classes of the backends that packages bring, by name."""
    projects = [tomllib.loads(path.read_text("utf-8"))["project"] for path in sorted(ROOT.glob("packages/*/pyproject.toml"))]
    groups: list[dict[str, dict[str, str]]] = [project.get("entry-points", {}) for project in projects]
    for group in groups:
        for name, value in group.get("indiaai.layers", {}).items():
            backends = {key: entry for other in groups for key, entry in other.get(f"indiaai.{name}", {}).items()}
            yield load(value), {key: load(backends[key]) for key in sorted(backends)}


def load(entry: str) -> Any:
    """Return what an entry point names."""
    module, _, attribute = entry.partition(":")
    return getattr(importlib.import_module(module), attribute)


def settings_of(settings_class: type[Any]) -> str:
    """List the variables of one class of settings."""
    variables = importlib.import_module("indiaai_core.settings").field_variables(settings_class)
    package = settings_class.__module__.partition(".")[0]
    text = f"\n## {settings_class.__name__}\n\n`{package}`. {sentence(settings_class)}\n\n"
    text += row("variable", "type", "default", "what it is") + row("---", "---", "---", "---")
    for name, field in settings_class.model_fields.items():
        kind = re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", inspect.formatannotation(field.annotation))
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        names = " or ".join(f"`{variable}`" for variable in variables[name])
        text += row(names, f"`{kind}`", default, field.description or "")
    return text


def shown(default: object) -> str:
    """Return a default as a person would set it."""
    if default is None:
        return "not set"
    text = default.as_posix() if isinstance(default, Path) else str(default)
    return f"`{text}`" if text else "empty"


def errors() -> str:
    """List every error under its parent, and what it says."""
    root = importlib.import_module("indiaai_core.errors").IndiaAIError
    codes = importlib.import_module("indiaai_core.fastapi").STATUS_CODES
    text = ERRORS
    for error in [root, *classes(root)]:
        status = next((code for kind, code in codes.items() if issubclass(error, kind)), 500)
        parents = ", ".join(f"`{parent.__name__}`" for parent in error.__bases__)
        text += row(f"`{error.__name__}`", parents, sentence(error), str(status))
    return text


def hooks() -> str:
    """List every hook with its signature and its whole docstring."""
    specs = importlib.import_module("indiaai_core.hooks").HookSpecs
    text = HOOKS
    for name, hook in inspect.getmembers(specs, inspect.isfunction):
        given = list(inspect.signature(hook).parameters.values())[1:]
        parameters = [f"{parameter.name}: {parameter.annotation}" for parameter in given]
        words = inspect.cleandoc(hook.__doc__ or "").replace("Args:\n", "Arguments:\n\n").replace("\n    ", "\n- ")
        text += f"\n## {name}\n\n```python\ndef {name}({', '.join(parameters)}): ...\n```\n\n{words}\n"
    return text


def capabilities() -> str:
    """List every capability that a layer's interface explains or a backend declares; one that none explains has no words."""
    text = CAPABILITIES
    for layer, backends in layers():
        declared = {name: frozenset(getattr(backend, "capabilities", ())) for name, backend in backends.items()}
        words = explained(layer.interface)
        text += f"\n## {layer.name}\n\n`{layer.interface.__name__}`. {sentence(layer.interface)}\n\n"
        if not words and not any(declared.values()):
            text += "The layer has none: each backend does everything that its interface says.\n"
            continue
        text += row("capability", "what it adds", "declared by") + row("---", "---", "---")
        for capability in [*words, *sorted(frozenset().union(*declared.values()) - words.keys())]:
            owners = ", ".join(f"`{name}`" for name, their in declared.items() if capability in their)
            text += row(f"`{capability}`", words.get(capability, ""), owners)
    return text


def explained(interface: type[Any]) -> dict[str, str]:
    """Return what the table in an interface's docstring says of each capability; a row may be about several."""
    lines = [line.strip("|").split("|") for line in (inspect.getdoc(interface) or "").splitlines() if line.startswith("| `")]
    return {name: cells[1].strip() for cells in lines for name in re.findall(r"`(\w+)`", cells[0])}


def promises() -> str:
    """List every suite's promises."""
    kit = importlib.import_module("indiaai_core.testing")
    text = PROMISES
    for suite in suites():
        text += f"\n## {suite.__name__}\n\n`from {door_of(suite)} import {suite.__name__}`\n\n"
        text += row("number", "promise", "needs") + row("---", "---", "---")
        for kept in kit.list_promises(suite):
            text += row(kept.number, kept.sentence, ", ".join(f"`{need}`" for need in kept.needs))
    return text


def door_of(suite: type[Any]) -> str:
    """Return the module from which a suite is to be imported."""
    return f"{suite.__module__.partition('.')[0]}.testing"


def suites() -> list[type[Any]]:
    """Return the suites that packages offer in the `__all__` of their `testing`, by the promises' first number."""
    kit = importlib.import_module("indiaai_core.testing")
    found: list[type[Any]] = []
    for package in packages():
        if importlib.util.find_spec(f"{package}.testing"):
            door = importlib.import_module(f"{package}.testing")
            offered = filter(inspect.isclass, (getattr(door, name) for name in door.__all__))
            found += [one for one in offered if issubclass(one, kit.Conformance) and kit.list_promises(one)]
    return sorted(found, key=lambda suite: str(kit.list_promises(suite)[0].number))


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; 1 if a compared one is not what it should be."""
    is_check = "--check" in arguments
    stale = []
    for page in (settings, errors, hooks, capabilities, promises):
        title, _, rest = page().partition("\n")
        path, text = PAGES / f"{page.__name__}.md", f"{title}\n\n{NOTE}\n{rest}"
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path.name)
        if not is_check:
            PAGES.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    if stale:
        outcome = "not what the code says; write them anew: python docs/reference.py" if is_check else "written"
        sys.stdout.write(f"{', '.join(stale)}: {outcome}\n")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
