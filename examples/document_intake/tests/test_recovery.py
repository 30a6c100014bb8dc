"""What a killed process left is gone on with by the next one: nothing is lost, and nothing is left over."""

from __future__ import annotations

import io
from collections.abc import Callable

from application import Application, wait_for
from pypdf import PdfWriter


def test_documents_that_waited_when_the_process_was_killed_are_worked_by_the_next(start: Callable[..., Application]) -> None:
    """A queue in memory dies with its process; every document that was acknowledged is answered all the same."""
    application = start()
    receipts = [application.submit(f"{number}.txt", b"words " * number) for number in range(1, 9)]

    application.kill()
    application.start()

    jobs = [application.finished(receipt["job_id"]) for receipt in receipts]
    assert [job["result"]["words"] for job in jobs] == list(range(1, 9))
    assert [job["document_id"] for job in jobs] == [receipt["document_id"] for receipt in receipts]


def test_a_document_whose_task_is_gone_is_queued_again_under_its_first_job_id(start: Callable[..., Application]) -> None:
    """Whoever was told a job's id gets its answer, although another task did the work."""
    application = start()
    receipt = application.submit("one.txt", b"one two three")
    application.finished(receipt["job_id"])
    application.stop()
    application.change_rows("UPDATE documents SET state = 'pending', facts = '{}', text = ''")

    application.start()
    job = application.finished(receipt["job_id"])

    assert job["result"]["words"] == 3
    assert application.client.get("/documents").json()["documents"][0]["job_id"] == receipt["job_id"]


def test_an_upload_that_was_cut_by_a_power_cut_is_swept_with_its_file(start: Callable[..., Application]) -> None:
    """A row that has been receiving for longer than an upload may take goes, and its file with it; a younger one stays."""
    application = start()
    receipts = [application.submit(f"{number}.txt", b"text") for number in range(2)]
    for receipt in receipts:
        application.finished(receipt["job_id"])
    application.stop()
    application.change_rows("UPDATE documents SET state = 'receiving'")
    application.change_rows(
        "UPDATE documents SET created_at = '2026-01-01 00:00:00.000000' WHERE id = ?", receipts[0]["document_id"]
    )

    application.start()

    wait_for(lambda: [row["id"] for row in application.rows()] == [receipts[1]["document_id"]])
    answers = [application.client.get(receipt["url"].replace(receipt["url"].split("/_")[0], "")) for receipt in receipts]
    assert [answer.status_code for answer in answers] == [404, 200]
    assert application.client.get("/documents").json()["documents"] == []
    assert application.client.get(f"/documents/{receipts[1]['document_id']}").status_code == 404


def test_stopping_while_a_document_is_read_loses_nothing(start: Callable[..., Application]) -> None:
    """A stop in the middle of the work leaves no reader behind, and the next start does the work."""
    application = start()
    writer = PdfWriter()
    for _ in range(3_000):
        writer.add_blank_page(200, 200)
    target = io.BytesIO()
    writer.write(target)
    receipt = application.submit("many-pages.pdf", target.getvalue())

    application.stop()
    application.start()

    assert application.finished(receipt["job_id"])["result"]["pages"] == 3_000
