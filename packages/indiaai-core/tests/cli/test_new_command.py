"""`indiaai new`: what is written, for any layer, and what is said where nothing can be."""

from __future__ import annotations

import ast
import json
import os
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from indiaai_core.cli.app import build_app
from indiaai_core.cli.new import project
from installed import SitePackages

SHELF = '''
    """A stranger's layer, whose interface has whatever an interface may have."""

    from __future__ import annotations

    import datetime
    import os.path as paths
    from abc import ABC, abstractmethod
    from collections.abc import AsyncIterator
    from typing import TYPE_CHECKING

    from indiaai_core import Layer
    from indiaai_core.layers import Service as Root

    if TYPE_CHECKING:
        from decimal import Decimal as Price
        from fractions import Fraction

    PAGE = 20

    class ShelfService(Root):
        @property
        @abstractmethod
        def size(self) -> int:
            pass

        @classmethod
        @abstractmethod
        def of(cls, text: str) -> ShelfService:
            """Say "of"."""

        @staticmethod
        @abstractmethod
        def bare(one, two=2): ...

        @abstractmethod
        async def walk(self, start: datetime.date, /, *names: str, page: int = PAGE, **rest: Price) -> AsyncIterator[Fraction]:
            """Give them one by one."""
            yield Fraction(1)

        @abstractmethod
        async def put(self, name: str, place: paths.PathLike[str], *, first_option: str = "", second_option: str = "x") -> None:
            """Put it there."""

        @abstractmethod
        async def find(
            self, name: str, *, first_option: str = "", second_option: str = "", third_option: str = "", fourth: str = ""
        ) -> list[str]:
            """Find it."""

    class LooseService(ABC):
        @abstractmethod
        def ask(self) -> str:
            """Ask."""

    class MadeService(ABC):
        ask = abstractmethod(lambda self: None)

    class UnknownService(ABC):
        @abstractmethod
        def ask(self) -> Nobody: ...

    LAYERS = {
        name: Layer(name, interface, "none")
        for name, interface in (
            ("shelf", ShelfService), ("loose", LooseService), ("made", MadeService), ("unknown", UnknownService)
        )
    }
    SHELF, LOOSE, MADE, UNKNOWN = LAYERS.values()
'''
SHELF_POINTS = "[indiaai.layers]\n" + "".join(
    f"{it} = acme_shelf:{it.upper()}\n" for it in ("shelf", "loose", "made", "unknown")
)


def run(*arguments: str) -> tuple[int, str]:
    """Run `indiaai new` and return its status and what it printed."""
    result = CliRunner().invoke(build_app(), ["new", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def run_json(*arguments: str) -> Any:
    """Run `indiaai new` where it succeeds, and return the JSON it printed."""
    status, text = run(*arguments, "--json")
    assert status == 0, text
    return json.loads(text)


def stubs(folder: str) -> dict[str, str]:
    """Return the signatures of the methods that a package's service has, by name."""
    (module,) = Path(folder).glob("src/*/service.py")
    (service,) = (node for node in ast.parse(module.read_text("utf-8")).body if isinstance(node, ast.ClassDef))
    functions = [node for node in service.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {it.name: ast.unparse(it).partition(":\n")[0] for it in functions if it.name != "__init__"}


@pytest.mark.parametrize(
    ("layer", "methods"),
    [
        ("storage", ["upload", "download", "get_url", "delete", "check"]),
        ("queue", ["enqueue", "dequeue", "get_status", "update_status", "check"]),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_backend_has_what_its_interface_wants_and_no_more(layer: str, methods: list[str]) -> None:
    """The methods that have to be written, one file of each kind, and nothing that a template forgot."""
    found = run_json("plugin", layer, "google_drive")

    package = f"indiaai_{layer}_google_drive"
    assert found["folder"] == found["distribution"] == f"indiaai-{layer}-google-drive"
    assert list(stubs(found["folder"])) == methods
    assert {"README.md", ".github/workflows/ci.yml", f"docs/{layer}-google_drive.md", "tests/test_conformance.py"} < {
        *found["files"]
    }
    assert f"src/{package}/py.typed" in found["files"]
    assert not [name for name in found["files"] if "{{" in Path(found["folder"], name).read_text("utf-8").replace("${{ m", "")]


@pytest.mark.usefixtures("site")
def test_a_backend_says_what_it_stands_on() -> None:
    """Its pyproject registers it, and asks for the core it was written for, and for the kit that tests it."""
    folder = run_json("plugin", "storage", "azure")["folder"]

    written = tomllib.loads(Path(folder, "pyproject.toml").read_text("utf-8"))
    assert written["project"]["entry-points"] == {"indiaai.storage": {"azure": "indiaai_storage_azure:AzureStorageService"}}
    assert written["project"]["dependencies"] == ["indiaai-core>=0.1,<1", "pydantic>=2.9"]
    assert written["dependency-groups"]["test"] == ["indiaai-core[testing]", "pytest>=8.3"]


def test_any_signature_is_written_as_the_interface_has_it(site: SitePackages) -> None:
    """Properties, class and static methods, generators and every kind of parameter, with what they name imported."""
    site.install("acme-shelf", entry_points=SHELF_POINTS, modules={"acme_shelf": SHELF})

    folder = run_json("plugin", "shelf", "oak")["folder"]

    assert stubs(folder) == {
        "size": "@property\ndef size(self) -> int",
        "of": "@classmethod\ndef of(cls, text: str) -> ShelfService",
        "bare": "@staticmethod\ndef bare(one, two=2)",
        "walk": "def walk(self, start: datetime.date, /, *names: str, page: int=PAGE, **rest: Price)"
        " -> AsyncIterator[Fraction]",
        "put": "async def put(self, name: str, place: paths.PathLike[str], *, first_option: str='', second_option: str='x')"
        " -> None",
        "find": "async def find(self, name: str, *, first_option: str='', second_option: str='', third_option: str='',"
        " fourth: str='') -> list[str]",
        "check": "async def check(self) -> None",
    }
    service = Path(folder, "src/indiaai_shelf_oak/service.py").read_text("utf-8")
    assert "import datetime\nimport os.path as paths\nfrom collections.abc import AsyncIterator\n" in service
    assert "from decimal import Decimal as Price\nfrom fractions import Fraction\n" in service
    assert "from acme_shelf import PAGE, ShelfService\n" in service
    assert '"""To be written.' in service


def test_a_layer_without_a_suite_gets_a_test_of_its_own(site: SitePackages) -> None:
    """Nothing is claimed that is not there: neither a suite, nor a check that the interface knows nothing of."""
    site.install("acme-shelf", entry_points=SHELF_POINTS, modules={"acme_shelf": SHELF}, version="2.5.1")

    folder = run_json("plugin", "loose", "oak")["folder"]

    written = tomllib.loads(Path(folder, "pyproject.toml").read_text("utf-8"))
    assert written["project"]["dependencies"] == ["acme-shelf>=2.5,<3", "indiaai-core>=0.1,<1", "pydantic>=2.9"]
    assert list(stubs(folder)) == ["ask"]
    assert "def test_it_can_be_made" in Path(folder, "tests/test_conformance.py").read_text("utf-8")


@pytest.mark.parametrize(("layer", "reason"), [("made", "is not defined by `def`"), ("unknown", "what Nobody is")])
def test_an_interface_that_cannot_be_read_is_a_clear_error(site: SitePackages, layer: str, reason: str) -> None:
    """Status 2, the reason, and no folder."""
    site.install("acme-shelf", entry_points=SHELF_POINTS, modules={"acme_shelf": SHELF})

    status, text = run("plugin", layer, "oak")

    assert status == 2
    assert reason in text
    assert not Path(f"indiaai-{layer}-oak").exists()


def test_an_interface_without_its_source_is_a_clear_error(site: SitePackages) -> None:
    """A package that was installed without its modules' source says so."""
    source = f"exec({textwrap.dedent(SHELF)!r})\n"
    site.install("acme-shelf", entry_points=SHELF_POINTS, modules={"acme_shelf": source})

    status, text = run("plugin", "loose", "oak")

    assert status == 2
    assert "There is no source" in text


@pytest.mark.usefixtures("site")
def test_long_names_are_imported_on_a_line_each() -> None:
    """No line is longer than the formatter would leave it."""
    folder = run_json("plugin", "storage", "a" * 30)["folder"]

    stem = f"A{'a' * 29}"
    tests = Path(folder, "tests/test_package.py").read_text("utf-8")
    assert f" import (\n    {stem}Settings,\n    {stem}StorageService,\n)\n" in tests


@pytest.mark.usefixtures("site")
def test_a_layer_is_written_whole() -> None:
    """Interface, backend, factory, suite, tests, docs; what is printed for people says how to go on."""
    status, text = run("layer", "full_text", "--into", "deep/er")

    folder = Path("deep/er/indiaai-full-text")
    assert status == 0
    assert f"cd {folder}\n" in text
    layer = (folder / "src/indiaai_full_text/layer.py").read_text("utf-8")
    assert 'conformance="indiaai_full_text.testing:FullTextConformance"' in layer
    assert (folder / "docs/full_text.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plugin", "storage", "Azure"), "'Azure' cannot be the name of a backend"),
        (("plugin", "storage", "../x"), "'../x' cannot be the name of a backend"),
        (("plugin", "storage", "a" * 31), "cannot be the name of a backend"),
        (("plugin", "storage", "a__b"), "'a__b' cannot be the name of a backend"),
        (("plugin", "storag", "azure"), "did you mean 'storage'?"),
        (("layer", "9lives"), "'9lives' cannot be the name of a layer"),
        (("layer", "storage"), "'storage' is taken"),
        (("layer", "hooks"), "'hooks' is taken"),
        (("layer", "core"), "indiaai-core is installed"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_name_that_cannot_be_one_is_refused(arguments: tuple[str, ...], says: str) -> None:
    """Status 2, what is wrong, and nothing written."""
    status, text = run(*arguments)

    assert status == 2
    assert says in text
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "file", "broken link"])
@pytest.mark.usefixtures("site")
def test_what_is_there_is_never_overwritten(what: str) -> None:
    """Whatever has the name is left as it is, and status 2 says so."""
    place = Path("indiaai-storage-azure")
    if what == "folder":
        place.mkdir()
    elif what == "file":
        place.write_text("mine", "utf-8")
    else:
        place.symlink_to("nowhere")
    before = (place.lstat().st_ino, place.lstat().st_mtime_ns)  # the time of access changes when it is looked at

    status, text = run("plugin", "storage", "azure")

    assert status == 2
    assert "is there already" in text
    assert (place.lstat().st_ino, place.lstat().st_mtime_ns) == before


@pytest.mark.usefixtures("site")
def test_a_folder_that_cannot_be_made_is_told() -> None:
    """Status 1, with the reason and the option that chooses another."""
    Path("file").write_text("", "utf-8")

    status, text = run("plugin", "storage", "azure", "--into", os.path.join("file", "deep"))

    assert status == 1
    assert "Nothing could be written into file" in text
    assert "--into" in text


@pytest.mark.usefixtures("site")
def test_without_copier_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and nothing is written."""
    monkeypatch.setitem(sys.modules, "copier", None)

    status, text = run("plugin", "storage", "azure")

    assert status == 2
    assert 'pip install "indiaai-core[new]"' in text
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("site")
def test_a_fault_inside_copier_is_not_called_its_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What copier lacks itself comes out as it is."""
    monkeypatch.setitem(sys.modules, "copier", type(sys)("copier"))

    def missing(_: str) -> object:
        raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")

    sys.modules["copier"].__dict__["__getattr__"] = missing

    with pytest.raises(ModuleNotFoundError, match="jinja2"):
        run("plugin", "storage", "azure")


@pytest.mark.parametrize(
    ("version", "wanted"), [("0.1.0", "acme>=0.1,<1"), ("2", "acme>=2.0,<3"), ("1.4.2rc1", "acme>=1.4,<2")]
)
def test_a_requirement_reaches_to_the_next_major_version(version: str, wanted: str) -> None:
    """From the minor version that it was written for."""
    assert project.requirement("acme", version) == wanted
