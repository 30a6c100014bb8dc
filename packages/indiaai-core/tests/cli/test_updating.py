"""`indiaai storage cp --update`: what is newer is brought, what is not is left, and nobody's change is lost meanwhile."""

from __future__ import annotations

import importlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from indiaai_core import ObjectExists
from installed import SitePackages
from shared_storage import SHARED_STORAGE, backend, objects, run

TEN = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)
NOTHING: dict[str, object] = {"refused": {}, "error": None, "dry_run": False}


@pytest.fixture(autouse=True)
def _shared(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here has two empty stores: the main one and `new`."""
    site.backend("acme", source=SHARED_STORAGE)
    monkeypatch.setenv("STORAGE_TYPE", "acme")
    monkeypatch.setenv("NEW_ACME_STORE", "new")
    monkeypatch.setattr("indiaai_core.cli.copying.LOOK_AGAIN_SECONDS", 0)
    importlib.import_module("acme_storage_acme_module")


def put(key: str, content: bytes = b"content", *, seconds: float = 0, store: str = "main") -> None:
    """Put an object into a store, so many seconds after ten."""
    objects(store)[key] = (content, "text/plain", {"by": "test"})
    backend().moments[store][key] = TEN + timedelta(seconds=seconds)


def update(*arguments: str) -> tuple[int, dict[str, object]]:
    """Update `new` from the main store; return the status and what is told."""
    backend().now = TEN + timedelta(hours=1)
    result = run("cp", "-r", "-u", "--json", ":", "new:", *arguments)
    found: dict[str, object] = json.loads(result.stdout)
    return result.exit_code, found


def contents(store: str = "new") -> dict[str, bytes]:
    """Return what is in a store."""
    return {key: found[0] for key, found in objects(store).items()}


def test_what_is_absent_or_older_is_brought_and_the_rest_is_left() -> None:
    """The source's newer one replaces, the target's newer one stays, metadata goes along; a second run has nothing to do."""
    put("absent")
    put("older", b"changed", seconds=5)
    put("older", b"before", store="new")
    put("newer", b"of the source")
    put("newer", b"of the target", seconds=5, store="new")

    first, second = update(), update()

    assert first == (0, {"copied": [":absent -> new:absent", ":older -> new:older"], **NOTHING})
    assert second == (0, {"copied": [], **NOTHING})
    assert contents() == {"absent": b"content", "older": b"changed", "newer": b"of the target"}
    assert objects("new")["absent"] == (b"content", "text/plain", {"by": "test"})


@pytest.mark.parametrize(
    ("here", "there", "is_brought"),
    [(0.9, 0, None), (0, 0.9, None), (1, 0.9, True), (0.9, 1, False), (0.2, 0.1, True), (0.1, 0.2, False), (0.5, 0.5, None)],
)
def test_what_is_told_in_whole_seconds_is_compared_by_them(here: float, there: float, is_brought: bool | None) -> None:
    """Fractions decide where both have one; else the second does, and within it nothing is taken for newer."""
    put("a", b"of the source", seconds=here)
    put("a", b"of the target", seconds=there, store="new")

    status, told = update()

    undecided = is_brought is None
    assert (status, told["copied"]) == (1 if undecided else 0, [":a -> new:a"] if is_brought else [])
    assert contents() == {"a": b"of the source" if is_brought else b"of the target"}
    assert ("within one second, and differ" in str(told["refused"])) is undecided


def test_within_one_second_equal_contents_are_left() -> None:
    """What was copied in the second in which it was stored is not copied again."""
    put("a", seconds=0.9)
    put("a", store="new")

    assert update() == (0, {"copied": [], **NOTHING})


def test_what_is_just_being_stored_in_both_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that writes to both has written to one of them: a moment later they are alike."""
    put("a", b"changed", seconds=0.9)
    put("a", b"before", store="new")

    async def wait(_: float) -> None:
        put("a", b"changed", store="new")

    monkeypatch.setattr("anyio.sleep", wait)

    assert update() == (0, {"copied": [], **NOTHING})


def test_what_changes_while_it_is_copied_is_copied_again() -> None:
    """The target ends with what the source has then, also where the type has changed and the bytes have not."""
    put("a", b"1")
    put("b", b"1")
    backend().meanwhile["after a"] = lambda: put("a", b"2", seconds=7)
    backend().meanwhile["after b"] = lambda: objects().update(b=(b"1", "image/png", {}))

    assert update()[0] == 0
    assert contents() == {"a": b"2", "b": b"1"}
    assert objects("new")["b"][1] == "image/png"


def test_what_is_deleted_while_it_is_copied_is_not_left_in_the_target() -> None:
    """What this call brought goes again; what is gone before it was read is no failure."""
    put("a")
    put("b")
    backend().meanwhile["after a"] = lambda: objects().pop("a")
    backend().meanwhile["before b"] = lambda: objects().pop("b")

    assert update()[0] == 0
    assert contents() == {}


def test_what_is_stored_in_the_target_meanwhile_is_not_overwritten() -> None:
    """Between the question and the upload somebody stored a newer one: it stays."""
    put("a", b"old")
    backend().meanwhile["before a"] = lambda: put("a", b"new", seconds=9, store="new")

    assert update() == (0, {"copied": [], **NOTHING})
    assert contents() == {"a": b"new"}


def test_with_no_clobber_only_what_is_absent_is_brought() -> None:
    """What is there, or comes meanwhile, is left whatever its time, and is no failure: a live store may be the target."""
    put("absent")
    put("newer", b"of the source", seconds=9)
    put("newer", b"of the target", store="new")
    put("late", b"of the source", seconds=9)
    backend().meanwhile["before late"] = lambda: put("late", b"of the target", store="new")

    assert update("--no-clobber") == (0, {"copied": [":absent -> new:absent"], **NOTHING})
    assert contents() == {"absent": b"content", "newer": b"of the target", "late": b"of the target"}


def test_a_list_s_more_exact_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 and R2 tell milliseconds in a list and seconds of one object: both mean one object as long as the etag is one."""
    put("a", b"of the source", seconds=0.9)
    put("a", b"of the target", seconds=0.1, store="new")
    exact = backend().stat

    async def stat(self: object, file_key: str) -> object:
        info = await exact(self, file_key)
        return type(info)(info.key, info.size, info.content_type, info.etag, info.last_modified.replace(microsecond=0))

    async def listed(self: object, prefix: str = "", *, limit: int | None = None) -> object:
        for key in sorted(self.objects):  # type: ignore[attr-defined] # the backend is a stranger's
            yield await exact(self, key)

    monkeypatch.setattr(backend(), "stat", stat)
    monkeypatch.setattr(backend(), "list", listed)

    assert update() == (0, {"copied": [":a -> new:a"], **NOTHING})


def test_what_is_deleted_while_the_contents_are_compared_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no failure of the run; where one object is named, that it is not there is."""
    put("a", seconds=0.9)
    put("a", store="new")
    exact = backend().download

    async def download(self: object, file_key: str) -> object:
        objects().clear()
        return await exact(self, file_key)

    monkeypatch.setattr(backend(), "download", download)

    assert update() == (0, {"copied": [], **NOTHING})
    assert (run("cp", "-u", ":a", "new:a").exit_code, run("cp", "-u", "none", "new:a").exit_code) == (1, 1)


def test_a_rehearsal_names_what_would_be_brought_and_deleted() -> None:
    """It asks, and stores nothing."""
    put("absent")
    put("same", seconds=0.5)
    put("same", store="new")
    put("stray", store="new")

    result = run("cp", "-r", "-u", "--delete", "--dry-run", ":", "new:")

    assert result.stdout == "would be copied: :absent -> new:absent\nwould be deleted: new:stray\n"
    assert sorted(contents()) == ["same", "stray"]


def test_delete_takes_out_what_the_source_does_not_have() -> None:
    """Below the folder that is named, and no further; what came to the source meanwhile stays."""
    for key in ("x/kept", "x/late", "x/stray", "y/other"):
        put(key, store="new")
    put("x/kept", seconds=-5)
    put("x/brought")
    backend().meanwhile["after x/brought"] = lambda: put("x/late")

    status = run("cp", "-r", "-u", "--delete", "--yes", ":x", "new:x")

    assert (status.exit_code, status.stdout) == (0, "1 object copied\n1 object deleted\n")
    assert sorted(contents()) == ["x/brought", "x/kept", "x/late", "y/other"]


@pytest.mark.parametrize(("seconds", "is_brought"), [(0, True), (60, True), (60.5, False), (-1, True)])
def test_with_delete_the_target_is_a_copy_and_the_source_is_right(seconds: float, is_brought: bool) -> None:
    """What differs is brought, also if it is newer there by up to a minute, as clocks differ; what is equal is left."""
    put("a", b"of the source", seconds=0.2)
    put("a", b"of the target", seconds=seconds + 0.2, store="new")
    put("same", seconds=0.2)
    put("same", seconds=abs(seconds) + 0.2, store="new")

    status, told = update("--delete", "--yes")

    assert (status, told["copied"]) == (0, [":a -> new:a"] * is_brought)
    assert contents()["a"] == (b"of the source" if is_brought else b"of the target")


def test_an_empty_source_empties_no_target() -> None:
    """A path that was misspelt is no reason to lose everything."""
    put("a", store="new")

    status, told = update("--delete", "--yes")

    assert (status, told["deleted"], sorted(contents())) == (1, [], ["a"])
    assert "nothing in :, so all of new: would be deleted: nothing was" in str(told["error"])


def test_before_it_deletes_a_person_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many, and where; what is newer is brought in any case."""
    put("a")
    put("stray", store="new")
    monkeypatch.setattr("indiaai_core.cli.manner.is_somebody_there", lambda: True)

    no = run("cp", "-r", "-u", "--delete", ":", "new:", stdin=b"n\n")
    kept = sorted(contents())
    run("cp", "-r", "-u", "--delete", ":", "new:", stdin=b"y\n")

    assert "Delete 1 object of new: that : does not have, for good?" in no.stderr
    assert (kept, sorted(contents())) == (["a", "stray"], ["a"])


def test_a_run_that_met_a_store_that_is_down_deletes_nothing() -> None:
    """What could not be brought is told, and the next run goes on."""
    put("a")
    put("stray", store="new")
    backend().fails_at = {"a": "down"}

    status, told = update("--delete", "--yes")

    assert (status, told["error"], sorted(contents())) == (1, "a failed", ["stray"])


def test_a_store_that_cannot_list_is_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One question an object in place of a question a page; the outcome is the same."""
    put("a")
    put("b", seconds=-9)
    put("b", store="new")
    monkeypatch.setattr(backend(), "capabilities", backend().capabilities - {"list"})

    assert update() == (0, {"copied": [":a -> new:a"], **NOTHING})


def test_files_are_compared_by_their_times_too(tmp_path: Path) -> None:
    """From a folder to a store and back, what is newer goes, and no more."""
    (tmp_path / "in").mkdir()
    for name, seconds in (("new", 5), ("old", -5)):
        (tmp_path / "in" / name).write_bytes(b"file")
        os.utime(tmp_path / "in" / name, ns=(0, int((TEN.timestamp() + seconds) * 1e9)))
        put(name)

    backend().now = TEN + timedelta(seconds=5)
    into = run("cp", "-r", "-u", f"{tmp_path / 'in'}", ":")
    again = run("cp", "-u", f"{tmp_path / 'in' / 'new'}", ":new")
    put("old", b"changed", seconds=60)
    out = run("cp", "-r", "-u", ":", f"{tmp_path / 'in'}")

    assert (into.stdout, again.stdout, out.stdout) == ("1 object copied\n", "0 objects copied\n", "1 object copied\n")
    assert contents("main")["new"] == b"file"
    assert (tmp_path / "in" / "old").read_bytes() == b"changed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-u", "-", ":x"], "neither older nor newer"),
        (["-r", "-u", "-n", "--delete", ":x", "new:x"], "leave one out"),
        (["--delete", ":x", "new:x"], "--delete goes with --recursive --update"),
        (["-u", "--delete", ":x", "new:x"], "--delete is for what is below a folder of a store"),
        (["-r", "-u", "--delete", ":x", "new:x"], "add --yes; to look first, --dry-run"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    """Status 2, and what to write in its place."""
    put("x/a")

    result = run("cp", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert contents() == {}


def test_a_store_at_odds_with_itself_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has no object when it is asked, and has one when it is to store it, is tried so often and then said."""
    tries = []

    async def upload(service: object, key: str, *_: object, **options: object) -> str:
        tries.append((key, options["if_absent"]))
        raise ObjectExists(key)

    put("a")
    monkeypatch.setattr(backend(), "upload", upload)

    status, told = update()

    assert (status, told["copied"]) == (1, [])
    assert "said 50 times that it has none" in str(told["refused"])
    assert tries == [("a", True)] * 50
