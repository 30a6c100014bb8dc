"""What judges this repository: a bare `nox` runs every default session. Packages and examples are found by walking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.allow_parallel = True  # with --parallel N, or NOX_PARALLEL=N, so many sessions run at a time

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PACKAGES = {path.parent.name: path.parent for path in sorted(ROOT.glob("packages/*/pyproject.toml"))}
EXAMPLES = {path.parent.name: path.parent for path in sorted(ROOT.glob("examples/*/pyproject.toml"))}
DISTRIBUTIONS = PACKAGES | {k: v for k, v in EXAMPLES.items() if "[build-system]" in (v / "pyproject.toml").read_text("utf-8")}


def load(folder: Path) -> dict[str, Any]:
    """Return a project's pyproject.toml."""
    return nox.project.load_toml(folder / "pyproject.toml")


def group(folder: Path, name: str) -> list[str]:
    """Return the requirements of a dependency group; none where a project does not have it."""
    return list(load(folder).get("dependency-groups", {}).get(name, []))


def needs(folder: Path, extras: Iterable[str] = ()) -> Iterator[str]:
    """Give what a project depends on, with these of its extras."""
    project = load(folder)["project"]
    yield from project.get("dependencies", [])
    yield from (line for extra in extras for line in project["optional-dependencies"][extra])


def selected() -> Iterator[str]:
    """Give what brings the backends that `<LAYER>_TYPE` selects here, with its extra of a backend's name if it has one."""
    for name, folder in DISTRIBUTIONS.items():
        for group, points in load(folder)["project"].get("entry-points", {}).items():
            for chosen in points.keys() & {os.environ.get(f"{group.removeprefix('indiaai.').upper()}_TYPE")}:
                yield f"{name}[{chosen}]" if chosen in load(folder)["project"].get("optional-dependencies", {}) else name


def needs_of_all() -> Iterator[str]:
    """Give what a session needs that looks at everything: all packages, and what they, the examples and all tests need."""
    yield from [*PACKAGES, *group(ROOT, "integration")]
    for folder in (ROOT, *PACKAGES.values(), *EXAMPLES.values()):
        lines = [*needs(folder, load(folder)["project"].get("optional-dependencies", {})), *group(folder, "test")]
        yield from (line for line in lines if Requirement(line).name not in EXAMPLES)


def install(session: nox.Session, requirements: Iterable[str]) -> None:
    """Install requirements; ours, and those of ours that they need, as built wheels: no index is asked for a name of ours."""
    others, ours = set[str](), dict[str, set[str]]()
    pending = [Requirement(line) for line in requirements]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name not in DISTRIBUTIONS:
            others.add(str(requirement))
        elif name not in ours or requirement.extras - ours[name]:
            ours.setdefault(name, set()).update(requirement.extras)
            pending += map(Requirement, needs(DISTRIBUTIONS[name], requirement.extras))
    session.install(*sorted(others), *(f"{built(name)}[{','.join(sorted(ours[name]))}]".removesuffix("[]") for name in ours))


def built(name: str, folder: Path = DIST) -> Path:
    """Return a distribution's built wheel."""
    return min(folder.rglob(f"{name.replace('-', '_')}-*.whl"))  # the only one: `build` takes away what was there


def build(session: nox.Session, *options: str, into: Path) -> None:
    """Build every package and each example with a build system; without isolation: build backends are installed once."""
    session.install("build", *{line for folder in DISTRIBUTIONS.values() for line in load(folder)["build-system"]["requires"]})
    shutil.rmtree(into, ignore_errors=True)
    for name, folder in DISTRIBUTIONS.items():
        target = into if name in PACKAGES else into / "examples"  # those are not ours to publish
        session.run("python", "-m", "build", "-n", *options, "--outdir", f"{target}", f"{folder}", silent=True)


def run_pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest from the root, with nothing of the tree importable; Ctrl-C ends its servers; in CI three may fail once."""
    session.env["COVERAGE_FILE"] = f"{session.virtualenv.location}/coverage"
    again = ["--reruns=1", "--max-suite-reruns=3", "--rerun-show-tracebacks"] if os.environ.get("CI") else []
    session.run("pytest", "--config-file=pyproject.toml", *again, *arguments, *session.posargs, interrupt_timeout=30)


def run_tests(session: nox.Session, folder: Path) -> None:
    """Run a project's tests beside nothing but what it needs, with the coverage that it asks for."""
    itself = [folder.name] if folder.name in DISTRIBUTIONS else needs(folder)
    install(session, [*itself, *group(ROOT, "test"), *group(folder, "test")])
    coverage = ["--cov", f"--cov-config={folder}/pyproject.toml"] if "coverage" in load(folder).get("tool", {}) else []
    run_pytest(session, f"{folder}/tests", *([] if session.posargs else ["-m=not once"] if session.python else coverage))


@nox.session
def lint(session: nox.Session) -> None:
    """The code reads as agreed, and the changelog's fragments render."""
    session.install(*group(ROOT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session(default=False)
def wheels(session: nox.Session) -> None:
    """Every distribution builds: its sdist, and the wheel from that. The other sessions install these, built once a run."""
    build(session, into=DIST)


@nox.session(requires=["wheels"])
def package(session: nox.Session) -> None:
    """The packages can be published, and a wheel is the same from the sdist and from the tree."""
    session.install(*group(ROOT, "package"))
    session.run("twine", "check", "--strict", *map(str, DIST.glob("indiaai*")))
    session.run("check-wheel-contents", *map(str, DIST.glob("*.whl")))
    build(session, "--wheel", into=Path(session.create_tmp()))
    for name in DISTRIBUTIONS:
        if built(name).read_bytes() != built(name, Path(session.create_tmp())).read_bytes():
            session.error(f"{name}: the wheel from the sdist differs from the one from the tree")


@nox.session(requires=["wheels"])
def types(session: nox.Session) -> None:
    """Sources, tests and examples are typed: mypy, strict, and pyright agree."""
    install(session, [*needs_of_all(), *group(ROOT, "types"), *group(ROOT, "bench")])
    session.install("--no-deps", *(f"--editable={folder}" for folder in DISTRIBUTIONS.values()))  # or pyright sees all twice
    for platform in ("win32", "darwin", "linux"):  # what a system's Python does not have is found without that system
        session.run("mypy", f"--platform={platform}", "noxfile.py", "docs", *(f"{it}/src" for it in DISTRIBUTIONS.values()))
    tested = [folder / "tests" if name in DISTRIBUTIONS else folder for name, folder in (PACKAGES | EXAMPLES).items()]
    for folder in sorted([*tested, *ROOT.glob("tests/*/"), ROOT / "benchmarks"]):  # each by itself: two may have a `conftest`
        paths = [folder, *(path.parent for path in folder.rglob("conftest.py") if "sys.path" in path.read_text("utf-8"))]
        env = {"MYPYPATH": os.pathsep.join(map(str, paths))}
        session.run("mypy", "--exclude", r"/tests/.+/conftest\.py$", f"{folder}", env=env)
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


for name in sorted({path.parent.name for path in ROOT.glob("tests/*/conftest.py")} - {"readme", "site"}):
    folders = ["tests", *sorted(path.parts[-3] for path in ROOT.glob(f"packages/*/tests/{name}"))]

    @nox.session(name=name, requires=["wheels"], default=name != "chaos")
    @nox.parametrize("of", folders, ids=folders)  # by itself: each package's tests have a `conftest` of their own
    def together(session: nox.Session, of: str, name: str = name) -> None:
        """The rules (meta), plugins of before (compat), all on real servers (integration), and on ones that fail (chaos)."""
        install(session, needs_of_all())
        run_pytest(session, f"tests/{name}" if of == "tests" else f"packages/{of}/tests/{name}")


@nox.session(requires=["wheels"])
@nox.parametrize("name", [*PACKAGES, *EXAMPLES], ids=[*PACKAGES, *EXAMPLES])
def tests(session: nox.Session, name: str) -> None:
    """Each package and each example keeps its promises, from its wheel, in an environment of its own."""
    run_tests(session, (PACKAGES | EXAMPLES)[name])


@nox.session(python=["3.11", "3.12", "3.13"], requires=["wheels"], default=False)
@nox.parametrize("name", list(PACKAGES), ids=list(PACKAGES))
def pythons(session: nox.Session, name: str) -> None:
    """The packages keep them on each Python that is promised, where one that is not there is an error; all but `once`."""
    run_tests(session, PACKAGES[name])


@nox.session(requires=["wheels"])
def readme(session: nox.Session) -> None:
    """What the README says works, with what it tells to install and nothing else."""
    line = (ROOT / "README.md").read_text("utf-8").partition("\npip install ")[2].partition("\n")[0]
    install(session, [*line.replace('"', "").split(), *group(ROOT, "test")])
    run_pytest(session, "tests/readme")


@nox.session
def docs(session: nox.Session) -> None:
    """The site builds without a warning and asks no other host for anything."""
    session.install(*group(ROOT, "docs"), *group(ROOT, "test"))
    session.run("zensical", "build", "--strict", "--clean")
    run_pytest(session, "tests/site")


@nox.session(requires=["wheels"], default=False)
def demo(session: nox.Session) -> None:
    """Run the example on its samples, on the backends that variables select, and keep serving; `-- --once` stops then."""
    install(session, [*needs(ROOT / "examples" / "document_intake"), *selected()])
    session.run("python", "examples/document_intake/demo.py", *session.posargs)


@nox.session(requires=["wheels"], default=False)
def bench(session: nox.Session) -> None:
    """Measure all, or `-- NAME …` for benchmarks/NAME.py alone; options, such as `--quick`, go to each."""
    install(session, [*needs_of_all(), *group(ROOT, "bench")])
    for name in [it for it in session.posargs if it[0] != "-"] or sorted(path.stem for path in ROOT.glob("benchmarks/*.py")):
        session.run("python", f"benchmarks/{name}.py", *(it for it in session.posargs if it[0] == "-"))
