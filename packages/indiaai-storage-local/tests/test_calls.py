"""Calls that one thread does side by side: in rounds, with one sync of a folder for all of them, and each for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indiaai_storage_local.calls import Call, Inbox, Steps, perform
from indiaai_storage_local.folders import Folder

pytestmark = pytest.mark.anyio


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that were synced."""
    descriptors: list[int] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        descriptors.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    return descriptors


@pytest.fixture
def side_by_side() -> Callable[..., Any]:
    """Does functions of steps as one thread does brief calls, and returns what each gave or raised."""

    async def do(*functions: Callable[[], Steps[object]]) -> list[object]:
        inbox = Inbox(asyncio.get_running_loop())
        made: list[Call[object]] = [Call(function, (), has_steps=True, inbox=inbox) for function in functions]
        perform(made)
        return await asyncio.gather(*[call.future for call in made], return_exceptions=True)

    return do


async def test_a_folder_is_synced_once_for_all(tmp_path: Path, synced: list[int], side_by_side: Callable[..., Any]) -> None:
    """Two descriptors of one folder are one sync, made when all have come to it; another folder is one more."""
    (tmp_path / "other").mkdir()
    reached: list[str] = []

    def store(path: Path, name: str) -> Steps[str]:
        with Folder(str(path)) as folder:
            reached.append(name)
            yield folder
            assert len(reached) == 3
            assert len(synced) == 2
        return name

    found = await side_by_side(
        lambda: store(tmp_path, "a"), lambda: store(tmp_path, "b"), lambda: store(tmp_path / "other", "c")
    )

    assert found == ["a", "b", "c"]


async def test_a_sync_that_fails_is_told_to_all_that_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side_by_side: Callable[..., Any]
) -> None:
    """Each has an error of its own, to add to; who waits for another folder has none."""
    (tmp_path / "sound").mkdir()
    damaged = os.stat(tmp_path)

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), damaged):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", sync)

    def store(path: Path) -> Steps[str]:
        with Folder(str(path)) as folder:
            yield folder
        return "stored"

    first, sound, second = await side_by_side(
        lambda: store(tmp_path), lambda: store(tmp_path / "sound"), lambda: store(tmp_path)
    )

    assert sound == "stored"
    assert isinstance(first, OSError)
    assert isinstance(second, OSError)
    assert first is not second
    assert first.errno == second.errno == 5


async def test_a_call_that_fails_leaves_the_others_alone(tmp_path: Path, side_by_side: Callable[..., Any]) -> None:
    """What one raises, at its beginning or in a later round, is its own."""

    def store(*, fails_at: int = -1) -> Steps[str]:
        for number in range(3):
            if number == fails_at:
                raise ValueError(number)
            with Folder(str(tmp_path)) as folder:
                yield folder
        return "stored"

    first, early, late, last = await side_by_side(store, lambda: store(fails_at=0), lambda: store(fails_at=2), store)

    assert (first, last) == ("stored", "stored")
    assert isinstance(early, ValueError)
    assert isinstance(late, ValueError)


async def test_a_folder_that_cannot_be_told_from_others_is_synced_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[int], side_by_side: Callable[..., Any]
) -> None:
    """No thread dies of a disk that does not even say what a folder is."""

    def fail(*_: object, **__: object) -> os.stat_result:
        raise OSError(5, "Input/output error")

    def store() -> Steps[str]:
        with Folder(str(tmp_path)) as folder:
            monkeypatch.setattr(os, "stat", fail)
            yield folder
        return "stored"

    assert await side_by_side(store, store) == ["stored", "stored"]
    assert len(synced) == 2
