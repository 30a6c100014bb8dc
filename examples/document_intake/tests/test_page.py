"""The page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from application import DOCUMENTS, HOME, Application

CHROMIUM = shutil.which("chromium")
try:
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
except ImportError:  # its wheel is not made for every platform
    pytest.skip("playwright is not installed", allow_module_level=True)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH (on Debian: apt install chromium)")

QUIETLY = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SECOND_MS = 1_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser that many tests open pages in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIETLY, "--no-first-run"])
        yield browser
        browser.close()


class Visit:
    """One page as a person has it before them, and what the browser asked for and complained of meanwhile."""

    def __init__(self, page: Page, address: str) -> None:
        """Listen, and open the page."""
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._on_request)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(address)

    def _on_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture(params=[1_280, 360], ids=["wide", "narrow"])
def visit(browser: Browser, shared_application: Application, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Return a visit that must not complain, ask another host, or need scrolling sideways."""
    page = browser.new_page(viewport={"width": request.param, "height": 740})
    page.set_default_timeout(20 * SECOND_MS)
    visit = Visit(page, shared_application.address)
    yield visit
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()
    assert overflow <= 0
    assert visit.complaints == []
    assert [url for url in visit.asked if not url.startswith(shared_application.address)] == []


def test_a_chosen_file_is_watched_to_its_end_and_opened(visit: Visit) -> None:
    """Choosing a file sends it; its row tells when it was read; its link opens what was found, and the file."""
    page = visit.page

    page.set_input_files("#file", DOCUMENTS / "tamil-notes.txt")
    row = page.locator(".row").first
    expect(row).to_contain_text(re.compile(r"Text · 64\s+words"), timeout=20 * SECOND_MS)
    expect(page.get_by_role("status")).to_contain_text("tamil-notes.txt: read.")
    row.get_by_role("link").click()

    expect(page.get_by_role("heading", level=2)).to_have_text("tamil-notes.txt")
    expect(page.locator("#text")).to_contain_text("நாற்பது கிணறுகளையும்")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open the file").click()
    expect(popup.value.locator("body")).to_contain_text("நாற்பது கிணறுகளையும்")


def test_everything_can_be_done_from_the_keyboard(visit: Visit) -> None:
    """Tab reaches the choice of a file, a document and the way back, each with a focus that shows."""
    page = visit.page
    page.set_input_files("#file", DOCUMENTS / "notes.md")
    expect(page.locator(".row").first).to_contain_text("Markdown", timeout=20 * SECOND_MS)
    page.reload()

    reached: list[str] = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    expect(page.locator(".row").first).to_contain_text("Markdown")
    while page.evaluate("document.activeElement.textContent") != "notes.md":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert "file" in reached
    expect(page.locator("#name")).to_be_focused()
    page.go_back()
    expect(page.locator(".row .name").first).to_be_focused()


def test_a_dropped_file_is_sent(visit: Visit) -> None:
    """Dropping a file anywhere on the page is as good as choosing it."""
    transfer = visit.page.evaluate_handle(
        "() => { const t = new DataTransfer(); t.items.add(new File(['चार छोटे शब्द यहाँ'], 'dropped.txt')); return t; }"
    )

    visit.page.dispatch_event("body", "drop", {"dataTransfer": transfer})

    expect(visit.page.locator(".row").first).to_contain_text("dropped.txt")
    expect(visit.page.locator(".row").first).to_contain_text(re.compile(r"4\s+words"), timeout=20 * SECOND_MS)


def test_a_file_that_cannot_be_read_says_why(visit: Visit) -> None:
    """The reason is in the list, is announced, and stands above the facts."""
    page = visit.page

    page.set_input_files("#file", {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"no PDF"})
    expect(page.locator(".row").first).to_contain_text("This is not a PDF", timeout=20 * SECOND_MS)
    expect(page.get_by_role("status")).to_contain_text("This is not a PDF")
    page.locator(".row .name").first.click()

    expect(page.locator("#problem")).to_contain_text("This is not a PDF")


def test_a_file_that_is_too_large_is_not_sent_at_all(visit: Visit, shared_application: Application) -> None:
    """On a slow link, a refusal after half an hour would be cruel: the page knows the limit."""
    page = visit.page
    expect(page.locator("#limit")).to_contain_text(re.compile(r"25\s+MB"))
    page.evaluate(
        "() => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(27e6)], 'huge.bin'));"
        " window.dispatchEvent(new DragEvent('drop', { dataTransfer: t })); }"
    )

    expect(page.locator(".row").first).to_contain_text("was not sent")
    assert f"{shared_application.address}/upload" not in visit.asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser: Browser, shared_application: Application, scheme: Literal["light", "dark"]) -> None:
    """The list, with all it may show, and a document break no rule of axe-core, contrast included."""
    receipt = shared_application.submit("barrier.txt", "अक्षर".encode())
    shared_application.finished(receipt["job_id"])
    shared_application.work("barrier.pdf", b"no PDF")
    page = browser.new_page(color_scheme=scheme)

    page.goto(shared_application.address)
    page.locator(".row").first.wait_for()
    found = Axe().run(page).response["violations"]
    page.goto(f"{shared_application.address}/#document={receipt['document_id']}")
    page.locator("#text:not(:empty)").wait_for()
    found += Axe().run(page).response["violations"]

    page.close()
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []


def test_the_page_is_small() -> None:
    """All of it has less than 40 KB before compression, for slow links."""
    sizes = [path.stat().st_size for path in Path(HOME, "page").iterdir()]

    assert sum(sizes) < 40_000
