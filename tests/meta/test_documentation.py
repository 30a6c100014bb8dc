"""The documentation says what the code says."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import house

PYTHON_BLOCK = re.compile(r"^( *)```python[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
DECISIONS = sorted(house.ROOT.glob("docs/decisions/*.md"))


def test_settings_errors_hooks_capabilities_and_promises_are_documented(tmp_path: Path) -> None:
    """Pages are what docs/reference.py writes: a new setting, error, hook, capability or promise is on its page."""
    command = [sys.executable, str(house.ROOT / "docs" / "reference.py"), "--check"]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert run.returncode == 0, run.stdout + run.stderr


def test_every_setting_says_what_it_is() -> None:
    """A row of the settings page has words in its last column: the field's description."""
    lines = (house.ROOT / "docs" / "reference" / "settings.md").read_text("utf-8").splitlines()

    bare = [line for line in lines if line.startswith("| `") and not line.rstrip(" |").split(" | ")[3:]]

    assert [line for line in bare if line.count(" | ") >= 3] == []


def test_every_variable_of_ours_is_on_the_page() -> None:
    """A variable that code reads by its own name, and not as a backend's setting, is documented too."""
    page = (house.ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")

    read = {name for path in house.published_files() for name in re.findall(r"\bINDIAAI_[A-Z_]+\b", path.read_text("utf-8"))}

    assert read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


def test_every_capability_says_what_it_adds() -> None:
    """A capability that a backend declares is explained by its layer's interface, in the table of its docstring."""
    lines = (house.ROOT / "docs" / "reference" / "capabilities.md").read_text("utf-8").splitlines()

    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]

    assert rows
    assert [cells[0] for cells in rows if len(cells) < 2 or not cells[1].strip()] == []


@pytest.mark.parametrize("path", house.pages(), ids=house.relative)
def test_the_code_on_a_page_is_code(path: Path) -> None:
    """Every Python block parses, and what it imports from us exists."""
    for _, block in PYTHON_BLOCK.findall(path.read_text("utf-8")):
        tree = ast.parse(_dedent(block))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _ours():
                module = importlib.import_module(str(node.module))
                assert [name.name for name in node.names if not hasattr(module, name.name)] == [], ast.unparse(node)


def _dedent(block: str) -> str:
    # The line with a file's name begins at the margin, also where a piece of a class stands below it.
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)


def _ours() -> set[str]:
    return {package.module for package in house.packages()}


@pytest.mark.parametrize("path", [path for path in house.pages() if "docs" in path.parts], ids=house.relative)
def test_a_page_has_one_title(path: Path) -> None:
    """A page begins with its title, and has no second one."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)

    titles = [line for line in text.splitlines() if line.startswith("# ")]

    assert len(titles) == 1
    assert text.splitlines()[0] == titles[0]


@pytest.mark.parametrize("path", DECISIONS, ids=house.relative)
def test_a_decision_says_why(path: Path) -> None:
    """A decision's page has its context, the decision, the alternatives and the consequences, in this order."""
    if path.name == "index.md":
        return

    headings = re.findall(r"^## (.+)$", path.read_text("utf-8"), re.MULTILINE)

    assert headings == ["Context", "Decision", "Alternatives", "Consequences"]


@pytest.mark.parametrize("path", house.pages(), ids=house.relative)
def test_a_link_between_pages_leads_somewhere(path: Path) -> None:
    """A relative link names a file of the repository; the site's build checks those among its pages again."""
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text("utf-8"), flags=re.DOTALL)

    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    assert [link for link in links if link and not link.startswith("mailto:") and not (path.parent / link).exists()] == []


def test_each_stage_says_what_it_handles_costs_and_breaks_and_the_way_back() -> None:
    """Whoever takes a step knows all four before."""
    page = (house.ROOT / "docs" / "how-to" / "grow.md").read_text("utf-8")
    stages = page.split("\n## Stage ")[1:]

    assert len(stages) == 5
    for stage in stages:
        told = stage.lower()
        assert [it for it in ("handles", "what it costs", "what can go wrong", "back") if f"**{it}**" not in told] == [], stage[
            :40
        ]


def test_each_price_names_its_source_and_when_it_was_read() -> None:
    """A price without both is one that nobody can look up again."""
    page = (house.ROOT / "docs" / "how-to" / "grow.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|") and re.search(r"\$\d", line)]

    assert rows
    assert [row for row in rows if not re.search(r"\| \w+, \w+ 20\d\d \|", row)] == []
