"""The documentation's site, as `zensical build` left it in site/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SITE = ROOT / "site"
PAGES = sorted(path for path in SITE.rglob("*.html"))
SOURCES = sorted(path for path in ROOT.glob("docs/**/*.md"))

# What makes a browser ask another host: scripts, styles, fonts, pictures, frames; a link that a person may follow is none.
LOADED = re.compile(
    r'<(?:script|img|iframe|source|video|audio|embed)[^>]+src="(?:https?:)?//[^"]+"|<link[^>]+href="(?:https?:)?//[^"]+"'
)


def test_the_site_was_built() -> None:
    """There is a page for every source, found by walking, and nothing but pages and what they need."""
    assert (SITE / "index.html").exists()
    assert [str(path) for path in SOURCES if not _page_of(path).exists()] == []
    assert list(SITE.rglob("*.py")) == []


def _page_of(source: Path) -> Path:
    relative = source.relative_to(ROOT / "docs").with_suffix("")
    return SITE / (relative.parent if relative.name == "index" else relative) / "index.html"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SITE)))
def test_a_page_asks_no_other_host_for_anything(page: Path) -> None:
    """Opening a page tells nobody: fonts, scripts and pictures come with the site; a diagram's script would not."""
    text = page.read_text("utf-8")

    assert LOADED.findall(text) == []
    assert 'class="mermaid"' not in text
    assert "fonts.googleapis" not in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_every_page_is_in_the_navigation(source: Path) -> None:
    """A reader of the first page sees the way to every other."""
    first = (SITE / "index.html").read_text("utf-8")
    relative = _page_of(source).parent.relative_to(SITE).as_posix()

    assert relative == "." or f'href="./{relative}/"' in first
