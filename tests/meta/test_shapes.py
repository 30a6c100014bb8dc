"""The measures: how long a function, a file and a package may be, and what may not be a name."""

from __future__ import annotations

import ast
import re
import statistics
import tokenize
from pathlib import Path

import pytest

import house

MAX_FUNCTION_LINES = 30
MEDIAN_FUNCTION_LINES = 10
MAX_FILE_LINES = 400
MAX_TEST_FILE_LINES = 600
MAX_BACKEND_LINES = 600
MAX_README_LINES = 120

# What may be longer, and why.
LONGER_FUNCTIONS: dict[str, str] = {}
LONGER_FILES: dict[str, str] = {}
LONGER_PACKAGES = {
    # Also a connection that all calls of a loop share and bundles of calls (300): redis-py's own costs more than the server's
    # work; and where the servers are (500): sentinels, the nodes of a cluster, and turns over a queue's partitions there.
    # And many completions in one call (40); and how a connection is made (130), for to import redis-py takes 24 MiB and 0.3 s.
    "indiaai-queue-redis": 1720,
    # a whole layer with two backends (1,700), and what else its applications need: the outbox and its relay (350), the copy
    # between databases (230), fixtures for their tests (200), replicas that are watched and servers that say nothing (300),
    # a line for those that wait to write to one SQLite file (80), which SQLite lacks: a third of the processor's time; an own
    # way to its thread and back (60), a quarter of a transaction; and a look whether its file is still there (15)
    "indiaai-db": 4030,
    "indiaai-queue-memory": 700,  # also waiting for room, across event loops and threads
    # Also a file format that survives a power cut, reads without a thread (a system call that Python lacks) with a way
    # for each system that has it not, its own hand-over from threads, and the server of its own links. And the conditions of
    # those who ask for a link (35): a download that goes on where it was cut mixes no two versions.
    "indiaai-storage-local": 1500,
    # also multipart uploads and copies, resumed downloads and retries (1,500), a client without boto3, whose botocore takes
    # 2 ms of interpreter a call, and the threads and the event loop that it waits on, and watches (1,300)
    "indiaai-storage-r2": 2850,
}

# Names that say nothing about what is behind them.
EMPTY_WORDS = re.compile(r"utils?|helpers?|common|misc|managers?", re.IGNORECASE)

# Two words of others' that our names may hold: pluggy's PluginManager, and Python's context manager.
FOREIGN_WORDS = re.compile(r"plugin_manager|context_manager|contextmanager", re.IGNORECASE)

# The contract fixes these signatures; two positional parameters are enough for every other function.
CONTRACT = {"upload", "update_status", "enqueue", "retry", "override", "override_here", "check_range"}


def length(function: house.Function) -> int:
    """Return how many lines a function has without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", [*house.measured_files(), house.ROOT / "noxfile.py"], ids=house.relative)
def test_functions_are_short(path: Path) -> None:
    """No function has more than 30 lines without its docstring."""
    too_long = {
        f"{house.relative(path)}:{function.name}": length(function)
        for function in house.functions(path)
        if length(function) > MAX_FUNCTION_LINES
    }

    assert {name: lines for name, lines in too_long.items() if name not in LONGER_FUNCTIONS} == {}


@pytest.mark.parametrize("package", house.packages(), ids=lambda package: package.name)
def test_most_functions_are_very_short(package: house.Package) -> None:
    """The median of a package's functions is under 10 lines."""
    lengths = [length(function) for path in package.source.rglob("*.py") for function in house.functions(path)]

    assert statistics.median(lengths or [0]) < MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("path", house.all_files(), ids=house.relative)
def test_files_are_short(path: Path) -> None:
    """A module has at most 400 lines, a module of tests 600."""
    limit = MAX_FILE_LINES if path in house.measured_files() else MAX_TEST_FILE_LINES

    lines = len(path.read_text("utf-8").splitlines())

    assert lines <= limit or house.relative(path) in LONGER_FILES


@pytest.mark.parametrize("package", house.plugins(), ids=lambda package: package.name)
def test_a_backend_is_small(package: house.Package) -> None:
    """A plugin has at most 600 lines of code in all: blank lines, comments and docstrings are free."""
    lines = sum(code_lines(path) for path in package.source.rglob("*.py"))

    assert lines <= LONGER_PACKAGES.get(package.name, MAX_BACKEND_LINES)


def code_lines(path: Path) -> int:
    """Return how many lines of a module hold code."""
    free = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
    prose = {line for node in house.docstrings(house.parse(path)) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in free]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - prose)


@pytest.mark.parametrize("path", [path for path in house.pages() if path.name == "README.md"], ids=house.relative)
def test_a_readme_is_short(path: Path) -> None:
    """A README has at most 120 lines."""
    assert len(path.read_text("utf-8").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("path", house.all_files(), ids=house.relative)
def test_names_say_what_is_behind_them(path: Path) -> None:
    """No module, folder, class or function is called utils, helpers, common, misc or manager."""
    names = [*Path(house.relative(path)).with_suffix("").parts]
    names += [node.name for node in ast.walk(house.parse(path)) if isinstance(node, house.Function | ast.ClassDef)]

    empty = [name for name in names for word in _words(name) if EMPTY_WORDS.fullmatch(word)]

    assert empty == [], "name them after what they hold or do"


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", FOREIGN_WORDS.sub("", name))


@pytest.mark.parametrize("path", house.published_files(), ids=house.relative)
def test_a_public_function_takes_two_positional_arguments_at_most(path: Path) -> None:
    """The third argument of a public function is given by its name."""
    too_many = [
        f"{function.name}({', '.join(names)})"
        for function in house.outer_functions(path)
        if not function.name.startswith(("_", "test_")) and function.name not in CONTRACT and not _is_fixed_elsewhere(function)
        for names in [_positional(function)]
        if len(names) > 2
    ]

    assert too_many == [], "put a * before the third, or make the function private"


def _positional(function: house.Function) -> list[str]:
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _is_fixed_elsewhere(function: house.Function) -> bool:
    # A hook is called by keyword, and `settings_customise_sources` overrides pydantic-settings' own.
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return any(mark.endswith(("hookspec", "hookimpl")) for mark in marks) or function.name == "settings_customise_sources"
