"""`indiaai storage`: what is in a store, and how it gets there, away and out of it, for people and for programs."""

from __future__ import annotations

import errno
import importlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indiaai_core import BackendUnavailable
from indiaai_core.cli.location import Location, parse_location, parse_place
from installed import SitePackages
from shared_queue import put as put_tasks
from shared_queue import run as run_queue
from shared_storage import SHARED_STORAGE, backend, objects, run


@pytest.fixture(autouse=True)
def _shared(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here has two empty stores: the main one and `archive`."""
    site.backend("acme", source=SHARED_STORAGE)
    monkeypatch.setenv("STORAGE_TYPE", "acme")
    monkeypatch.setenv("ARCHIVE_ACME_STORE", "archive")
    importlib.import_module("acme_storage_acme_module")


def put(*keys: str, store: str = "main", content: bytes = b"content") -> None:
    """Put objects into a store."""
    for key in keys:
        objects(store)[key] = (content, "text/plain", {"by": "test"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files, one of them in a folder of its own."""
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_bytes(b"a")
    (tmp_path / "docs" / "deep" / "बिल.pdf").write_bytes(b"b")
    return tmp_path / "docs"


@pytest.mark.parametrize(
    ("text", "place", "location"),
    [
        ("bills/1.pdf", Path("bills/1.pdf"), Location(None, "bills/1.pdf")),
        (":bills/1.pdf", Location(None, "bills/1.pdf"), Location(None, "bills/1.pdf")),
        ("archive:bills/", Location("archive", "bills/"), Location("archive", "bills/")),
        ("archive:a:b", Location("archive", "a:b"), Location("archive", "a:b")),
        ("./a:b", Path("./a:b"), Location(None, "./a:b")),
        ("-", "-", Location(None, "-")),
    ],
)
def test_a_place_is_read_as_it_is_meant(text: str, place: object, location: Location) -> None:
    """A colon with a name or nothing before it is a store's; where only a store can be meant, it may be left out."""
    assert (parse_place(text), parse_location(text)) == (place, location)


def test_ls_prints_a_line_for_each_object() -> None:
    """Size, time and key, with tabs in a pipe; a prefix, a limit and a named store choose."""
    put("a", "b/1", "b/2")
    put("c", store="archive")

    assert run("ls").stdout == "".join(f"7\t2026-11-24 03:00:00\t{key}\n" for key in ("a", "b/1", "b/2"))
    assert run("ls", "b/", "--limit", "1").stdout == "7\t2026-11-24 03:00:00\tb/1\n"
    assert run("ls", "archive:").stdout.endswith("\tc\n")


def test_ls_prints_an_array_for_programs() -> None:
    """It is JSON, also of nothing."""
    put("a", "b")

    found = json.loads(run("ls", "--json").stdout)

    assert [one["key"] for one in found] == ["a", "b"]
    assert found[0] == {
        "key": "a",
        "size": 7,
        "last_modified": "2026-11-24T03:00:00+00:00",
        "etag": "e",
        "content_type": "text/plain",
    }
    assert json.loads(run("ls", "zzz", "--json").stdout) == []


def test_ls_is_aligned_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal sizes stand below each other."""
    put("a")
    monkeypatch.setattr("indiaai_core.cli.objects._is_terminal", lambda: True)

    assert run("ls").stdout == "             7  2026-11-24 03:00:00  a\n"


def test_cp_stores_a_file_under_a_key_or_into_a_folder(folder: Path) -> None:
    """With / at the end, or no key, the file's own name is added; the type is guessed unless it is said."""
    run("cp", str(folder / "a.txt"), ":b.txt")
    run("cp", str(folder / "a.txt"), ":")
    run("cp", str(folder / "a.txt"), ":into/", "--content-type", "text/x")

    assert {key: found[:2] for key, found in objects().items()} == {
        "b.txt": (b"a", "text/plain"),
        "a.txt": (b"a", "text/plain"),
        "into/a.txt": (b"a", "text/x"),
    }


def test_cp_writes_an_object_to_a_file(tmp_path: Path) -> None:
    """Into a folder by its own name, or under another; folders are made, and nothing else is left."""
    put("x/a.txt")

    run("cp", ":x/a.txt", str(tmp_path))
    run("cp", ":x/a.txt", str(tmp_path / "new" / "b.txt"))

    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "new" / "b.txt").read_bytes() == b"content"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "b.txt", "new"]


def test_cp_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    """A file is there whole or as it was, and no half of one lies about."""
    put("a", content=b"broken")
    (tmp_path / "a").write_bytes(b"old")

    result = run("cp", ":a", str(tmp_path / "a"))

    assert (result.exit_code, result.stderr) == (1, "the connection broke\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_cp_goes_from_and_to_standard_streams() -> None:
    """`-` is input or output; what is printed then is the object and nothing else."""
    stored = run("cp", "-", ":a.json", stdin=b"{}")
    result = run("cp", ":a.json", "-")

    assert stored.stdout == "1 object copied\n"
    assert objects()["a.json"][:2] == (b"{}", "application/json")
    assert result.stdout_bytes == b"{}"


def test_cp_between_stores_keeps_what_is_kept_with_an_object() -> None:
    """Type and metadata go along; within one store the store copies by itself."""
    put("a")

    run("cp", ":a", "archive:b")
    run("cp", ":a", ":c")

    assert objects("archive")["b"] == objects()["c"] == (b"content", "text/plain", {"by": "test"})
    assert backend().copies == [("a", "c")]


def test_cp_copies_all_below_a_folder_there_and_back(folder: Path, tmp_path: Path) -> None:
    """From files to a store, to another, and back: the same tree, and only what is below the folder."""
    put("bills-old/x")

    first = run("cp", "-r", str(folder), ":bills")
    run("cp", "-r", ":bills", "archive:")
    run("cp", "-r", "archive:", str(tmp_path / "back"))

    assert first.stdout == "2 objects copied\n"
    assert list(objects("archive")) == ["a.txt", "deep/बिल.pdf"]
    assert (tmp_path / "back" / "deep" / "बिल.pdf").read_bytes() == b"b"


def test_cp_leaves_what_is_there_when_told_to(tmp_path: Path) -> None:
    """`--no-clobber` refuses what exists, in a store and in a folder, and copies the rest."""
    put("a", "b")
    put("a", store="archive", content=b"old")
    (tmp_path / "a").write_bytes(b"old")

    to_store = run("cp", "-r", "-n", ":", "archive:", "--json")
    to_file = run("cp", "-n", ":a", str(tmp_path / "a"))

    told = json.loads(to_store.stdout)
    assert (to_store.exit_code, to_file.exit_code) == (1, 1)
    assert (told["copied"], list(told["refused"])) == ([":b -> archive:b"], [":a -> archive:a"])
    assert objects("archive")["a"][0] == (tmp_path / "a").read_bytes() == b"old"


def test_cp_goes_on_with_the_others_and_stops_when_the_store_is_down() -> None:
    """One object that is refused is told with its reason; a store that does not answer ends it."""
    put("a", "b", "c")
    backend().fails_at = {"b": "refused"}

    refused = run("cp", "-r", ":", "archive:")
    backend().fails_at = dict.fromkeys("abc", "down")
    down = run("cp", "-r", ":", "archive:")

    assert (refused.exit_code, sorted(objects("archive"))) == (1, ["a", "c"])
    assert "FAIL :b -> archive:b: b failed\n2 objects copied\n" in refused.stdout
    assert (down.exit_code, "failed" in down.stderr) == (1, True)


def test_a_rehearsal_does_nothing(folder: Path) -> None:
    """`--dry-run` names what would be copied or deleted, and the stores stay as they are."""
    put("x/1", "x/2")

    copied = run("cp", "-r", str(folder), ":new", "--dry-run")
    deleted = run("rm", "-r", "x", "--dry-run")

    assert f"would be copied: {folder / 'a.txt'} -> :new/a.txt\n" in copied.stdout
    assert deleted.stdout == "would be deleted: :x/1\nwould be deleted: :x/2\n"
    assert list(objects()) == ["x/1", "x/2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b"], "Neither is in a store"),
        (["-r", "-", ":x"], "A standard stream is one object"),
        (["--json", ":x", "-"], "Standard output is the object itself"),
        (["-", ":x/"], "Standard input has no name: write the whole key, such as :x/name."),
        (["docs", ":x"], "docs is a folder. To copy what is in it, add --recursive."),
        (["-r", "docs/a.txt", ":x"], "docs/a.txt is no folder."),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_makes_no_sense_is_refused_before_anything_is_done(arguments: list[str], said: str) -> None:
    """Status 2, and what to write in its place."""
    result = run("cp", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert objects() == {}


def test_a_store_that_nobody_named_is_refused() -> None:
    """A misspelt instance would else be the main store, and what is deleted there was not meant."""
    put("a")

    result = run("rm", "-r", "archve:", "--yes")

    assert result.exit_code == 1
    assert "There is no storage instance 'archve'" in result.stderr
    assert list(objects()) == ["a"]


def test_an_object_that_is_not_there_is_told() -> None:
    """By cp and by rm, with status 1; the others are deleted."""
    put("a")

    copied = run("cp", ":none", "archive:")
    deleted = run("rm", "--yes", "none", "a")

    assert (copied.exit_code, deleted.exit_code) == (1, 1)
    assert deleted.stdout == "FAIL :none: There is no object under the key 'none'.\n1 object deleted\n"
    assert objects() == objects("archive") == {}


def test_rm_asks_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many and where, and does nothing unless the answer is yes; the folder's neighbour stays."""
    put("bills/1", "bills/2", "bills-old/1")
    monkeypatch.setattr("indiaai_core.cli.objects.is_somebody_there", lambda: True)

    no = run("rm", "-r", "bills", stdin=b"n\n")
    kept = list(objects())
    yes = run("rm", "-r", "bills", stdin=b"y\n")
    nothing = run("rm", "-r", "bills", stdin=b"y\n")

    assert "Delete 2 objects of :bills, for good?" in no.stderr
    assert (no.exit_code, len(kept)) == (1, 3)
    assert (yes.exit_code, list(objects())) == (0, ["bills-old/1"])
    assert yes.stdout.endswith("2 objects deleted\n")
    assert "There is nothing below :bills." in nothing.stderr


def test_rm_says_that_all_of_a_store_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key at all is the whole store, and the question says so."""
    put("a")
    monkeypatch.setattr("indiaai_core.cli.objects.is_somebody_there", lambda: True)

    assert "Delete 1 object of the whole store, for good?" in run("rm", "-r", ":", stdin=b"n\n").stderr


def test_rm_without_anybody_to_ask_does_nothing() -> None:
    """A script has to say --yes: status 2."""
    put("a")

    result = run("rm", "a")

    assert (result.exit_code, list(objects())) == (2, ["a"])
    assert "add --yes" in result.stderr


def test_rm_tells_programs_what_it_deleted() -> None:
    """Names, and what was refused with its reason."""
    put("a")

    assert json.loads(run("rm", "--yes", "--json", "a").stdout) == {
        "deleted": [":a"],
        "refused": {},
        "error": None,
        "dry_run": False,
    }


def test_url_prints_a_link_and_nothing_else() -> None:
    """To get an object by, or to put one by; a link that is relative is told to be, on the error stream."""
    link, told = run("url", "a b", "--expires-in", "60"), json.loads(run("url", "archive:a", "--json").stdout)
    upload = run("url", "a", "--upload", "--content-type", "image/png")

    assert (link.stdout, link.stderr) == ("https://example.org/a b?for=60\n", "")
    assert told == {"url": "https://example.org/a?for=3600", "key": "a", "expires_in": 3600}
    assert upload.stdout == "/upload/a?type=image/png\n"
    assert "relative" in upload.stderr


def test_a_key_that_none_can_be_is_told() -> None:
    """What a store refuses is said in its words."""
    result = run("url", "../secret")

    assert (result.exit_code, "cannot be an object's key" in result.stderr) == (1, True)


def test_a_queue_that_nobody_named_is_refused(shared_queue: None) -> None:
    """The same holds for `indiaai queue`: a misspelt name is no way into the main queue."""
    put_tasks(1)

    status, _, said = run_queue("queue", "requeue", "--all-dead", "--queue", "archve")

    assert (status, "There is no queue instance 'archve'" in said) == (1, True)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ExceptionGroup("all", [ValueError("boom"), KeyError("x")]), "ValueError: boom; KeyError: 'x'"),
    ],
)
def test_whatever_a_stranger_s_backend_raises_is_said_in_a_line(
    raised: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1, and no traceback."""

    async def fail(*_: object, **__: object) -> str:
        raise raised

    monkeypatch.setattr(backend(), "get_url", fail)

    result = run("url", "a")

    assert (result.exit_code, result.stderr) == (1, f"{said}\n")


@pytest.mark.parametrize("command", [["ls"], ["cp", ":a", "archive:a"]])
def test_a_reader_that_is_gone_is_the_script_s_to_handle(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no failure of the store, wherever it comes up: nothing is said of it."""
    put("a")

    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "gone")

    monkeypatch.setattr("indiaai_core.cli.objects.print_text", gone)
    monkeypatch.setattr(backend(), "upload", gone)

    result = run(*command)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


def test_a_list_that_fails_ends_what_goes_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there would be to copy is not known: it is told why, and the status is 1."""
    put("a")

    async def fail(*_: object, **__: object) -> AsyncIterator[object]:
        nothing: list[object] = []
        for one in nothing:
            yield one
        raise BackendUnavailable("the list broke off")

    monkeypatch.setattr(backend(), "list", fail)

    result = run("cp", "-r", ":", "archive:")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "0 objects copied\n", "the list broke off\n")
