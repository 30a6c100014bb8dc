"""The main job, over HTTP: a document goes in, is stored, queued, worked and answered.

Nothing here knows what the application runs on: the same tests hold on every combination of backends.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from application import DOCUMENTS, Application

EXPECTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "water-report.pdf": ("application/pdf", {"kind": "pdf", "pages": 3, "words": 332}, "behind the old granary"),
    "hindi-letter.txt": ("text/plain", {"kind": "text", "words": 137, "lines": 17}, "एक सौ अस्सी बच्चे"),
    "tamil-notes.txt": ("text/plain", {"kind": "text", "words": 64, "lines": 13}, "நாற்பது கிணறுகளையும்"),
    "notes.md": ("text/markdown", {"kind": "markdown", "words": 115, "lines": 19}, "## The tape"),
    "water-levels.png": ("image/png", {"kind": "image", "format": "PNG", "width": 640, "height": 400}, ""),
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_document_is_stored_queued_worked_and_answered(shared_application: Application, name: str) -> None:
    """What is found in a real document is what is in it, and the link gives the very same bytes back."""
    media_type, facts, phrase = EXPECTED[name]
    content = (DOCUMENTS / name).read_bytes()

    receipt = shared_application.submit(name, content)
    job = shared_application.finished(receipt["job_id"])
    document = shared_application.client.get(f"/documents/{receipt['document_id']}").raise_for_status().json()
    files = [shared_application.client.get(link) for link in (receipt["url"], document["url"])]

    assert job["state"] == "completed", job
    assert job["progress"] == 1
    assert job["result"].items() >= {**facts, "sha256": hashlib.sha256(content).hexdigest()}.items()
    assert (document["name"], document["size"], document["state"]) == (name, len(content), "completed")
    assert document["facts"] == job["result"]
    assert document["media_type"].startswith(media_type)
    assert phrase in document["text"]
    assert [file.content for file in files] == [content, content]


def test_documents_are_listed_page_by_page_the_latest_first(shared_application: Application) -> None:
    """Following `next` gives every document exactly once, in the order they came, the latest first."""
    sent = [shared_application.submit(f"page-{number}.txt", b"words")["document_id"] for number in range(5)]

    listed: list[str] = []
    after: str | None = ""
    while after is not None:
        query = {"limit": "2", **({"after": after} if after else {})}
        page = shared_application.client.get("/documents", params=query).raise_for_status().json()
        listed += [document["id"] for document in page["documents"]]
        after = page["next"]

    assert [document_id for document_id in listed if document_id in sent] == sent[::-1]
    assert len(listed) == len(set(listed))


def test_the_list_shows_no_text(shared_application: Application) -> None:
    """The list stays small however long the documents are."""
    shared_application.submit("long.txt", b"word " * 10_000)

    page = shared_application.client.get("/documents", params={"limit": "1"})

    assert len(page.content) < 2_000


@pytest.mark.parametrize("path", ["/jobs/none", "/documents/none", "/documents?after=none"])
def test_what_is_not_there_is_404_in_plain_words(shared_application: Application, path: str) -> None:
    """An unknown job, document or page is answered with 404 and a sentence."""
    answer = shared_application.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("There is no such ")


def test_a_name_in_any_script_comes_back_as_it_was_sent(shared_application: Application) -> None:
    """A file's name keeps its letters, joiners included, and loses its path and control characters."""
    receipt = shared_application.submit("../../ग्राम क्‍षेत्र\u202e பட்டியல்.txt", b"text")

    document = shared_application.client.get(f"/documents/{receipt['document_id']}").json()

    assert document["name"] == "ग्राम क्‍षेत्र பட்டியல்.txt"


def test_the_openapi_page_offers_a_file_to_choose(shared_application: Application) -> None:
    """The API's description says that the upload takes a file in the field `file`, and what each refusal means."""
    upload = shared_application.client.get("/openapi.json").json()["paths"]["/upload"]["post"]

    schema = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"]["file"]["format"] == "binary"
    assert {"400", "408", "413", "415", "422", "503"} <= set(upload["responses"])
