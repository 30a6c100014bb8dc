"""What is written beside the code: the tests' promises, reasons for suppressions, fragments of the changelog."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import house

SUPPRESSION = re.compile(r"#\s*(?:noqa\b|type:\s*ignore|pyright:\s*ignore|pragma:\s*no)", re.IGNORECASE)
WITH_REASON = re.compile(
    r"#\s*(?:noqa:\s*[A-Z0-9, ]+|type:\s*ignore\[[^\]]+\]|pyright:\s*ignore\[[^\]]+\]|pragma:\s*no\s+(?:cover|branch))"
    r"\s*(?:-|#|:|,|—)\s*\w{4,}|\s*(?:-|#|:|,|—)\s*\w+\W+\w+",
    re.IGNORECASE,
)
FRAGMENT = re.compile(r"(?:\+[a-z0-9-]+|\d+)\.(?:added|changed|deprecated|removed|fixed|security)\.md")


@pytest.mark.parametrize("path", house.test_files(), ids=house.relative)
def test_every_test_states_its_promise(path: Path) -> None:
    """A test has a docstring: its promise, as a sentence. A conformance suite's promises carry theirs themselves."""
    bare = [
        function.name
        for function in house.functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function) and not _is_promise(function)
    ]

    assert bare == []


def _is_promise(function: house.Function) -> bool:
    return any(ast.unparse(mark).startswith("promise(") for mark in function.decorator_list)


@pytest.mark.parametrize("path", house.all_files(), ids=house.relative)
def test_every_suppression_gives_its_reason(path: Path) -> None:
    """Whoever silences a checker names the rule, and says why, on the same line."""
    comments = [(line, text) for line, text in _comments(path) if SUPPRESSION.search(text)]

    silent = [f"line {line}: {text}" for line, text in comments if not WITH_REASON.search(text)]

    assert silent == []


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


@pytest.mark.parametrize("path", sorted((house.ROOT / "changelog.d").iterdir()), ids=lambda path: path.name)
def test_a_changelog_fragment_is_a_sentence_under_a_known_kind(path: Path) -> None:
    """A fragment's name tells its kind, and its text is one that users read."""
    if path.name in {"README.md", ".gitignore"}:
        return
    text = path.read_text("utf-8").strip()

    assert FRAGMENT.fullmatch(path.name)
    assert text.endswith(".")
    assert not text.startswith(("#", "-", "*"))
