"""Kills a process at each of its system calls in turn and looks at what is left; run by `test_crashes` as a script.

    python crashing.py FOLDER SCENARIO

Each try is a child of this process, which itself starts no thread and so may fork. Prints how many calls were cut.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from indiaai_storage_local import LocalSettings, LocalStorageService
from indiaai_storage_local.lookup import Lookup

CALLS = ("open", "write", "copy_file_range", "fsync", "replace", "link", "mkdir", "unlink", "rmdir", "close")
KILLED, KILLED_WRITING = 77, 78
OLD, NEW = b"old" * 1000, b"new" * 2000

Operation = Callable[[LocalStorageService], Awaitable[Any]]
Outcomes = tuple[dict[str, bytes], ...]
Scenario = tuple[Operation, Outcomes]


async def stream() -> AsyncIterator[bytes]:
    """Give the new content in two pieces."""
    yield NEW[:3000]
    yield NEW[3000:]


async def sweep(service: LocalStorageService) -> None:
    """Start on a store in which dead processes left something."""
    for number in range(3):
        Path(service.settings.path, "tmp", f"{number}-left").write_bytes(NEW)
    await service.check()


BEFORE = {"a/kept": b"kept", "a/b/target": OLD}
SCENARIOS: dict[str, Scenario] = {
    "replace": (lambda service: service.upload("a/b/target", stream()), (BEFORE, {**BEFORE, "a/b/target": NEW})),
    "add": (lambda service: service.upload("x/y/new", NEW), (BEFORE, {**BEFORE, "x/y/new": NEW})),
    "if_absent": (lambda service: service.upload("x/new", NEW, if_absent=True), (BEFORE, {**BEFORE, "x/new": NEW})),
    "delete": (lambda service: service.delete("a/b/target"), (BEFORE, {"a/kept": b"kept"})),
    "copy": (lambda service: service.copy("a/kept", "a/b/target"), (BEFORE, {**BEFORE, "a/b/target": b"kept"})),
    "sweep": (sweep, (BEFORE,)),
    "first_use": (lambda service: service.get_url("a/kept"), ({},)),
}
"""What is done, and what may be there afterwards: the first where nothing was done, the last where it was acknowledged."""


def main(folder: Path, name: str) -> None:
    """Cut the scenario at its first system call, at its second, and so on."""
    operation, allowed = SCENARIOS[name]
    in_child(lambda: asyncio.run(prepare(folder / "before", allowed[0])))
    for cut in count():
        status = attempt(folder, operation, allowed, cut)
        if status == KILLED_WRITING:
            attempt(folder, operation, allowed, cut, is_half=True)
        elif not status:
            sys.stdout.write(f"{cut}\n")
            return


def attempt(folder: Path, operation: Operation, allowed: Outcomes, cut: int, *, is_half: bool = False) -> int:
    """Do it in a child that dies at a system call, look at what is left in another, and return how the first ended."""
    root = folder / f"{cut}-{is_half}"
    if allowed[0]:
        shutil.copytree(folder / "before", root)
    status = in_child(lambda: asyncio.run(perform(root, operation, cut=cut, is_half=is_half)), KILLED, KILLED_WRITING)
    in_child(lambda: asyncio.run(verify(root, allowed if status else allowed[-1:])))
    return status


async def prepare(root: Path, objects: dict[str, bytes]) -> None:
    """Store what is there before."""
    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as service:
        for key, content in objects.items():
            await service.upload(key, content)


async def perform(root: Path, operation: Operation, *, cut: int, is_half: bool) -> None:
    """Do it, and die at system call number `cut`: before it, or with half of it done."""
    remaining = [cut]
    os.__dict__["fsync"] = lambda descriptor: None  # what a process wrote outlives it: the calls count, the waiting does not
    for name in CALLS:
        if hasattr(os, name):
            os.__dict__[name] = cutting(getattr(os, name), remaining, is_write=name == "write", is_half=is_half)
    setattr(Lookup, "open", cutting(Lookup.open, remaining, is_write=False, is_half=False))  # noqa: B010 - mypy takes a method for final
    async with LocalStorageService(LocalSettings(path=root)) as service:
        await operation(service)


def cutting(call: Callable[..., Any], remaining: list[int], *, is_write: bool, is_half: bool) -> Callable[..., Any]:
    """Wrap a system call so that the process dies when its turn has come."""

    def cut_or_call(*arguments: Any, **options: Any) -> Any:
        remaining[0] -= 1
        if remaining[0] >= 0:
            return call(*arguments, **options)
        if is_half:
            call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        os._exit(KILLED_WRITING if is_write else KILLED)

    return cut_or_call


async def verify(root: Path, allowed: Outcomes) -> None:
    """Find one of the allowed outcomes, whole, nothing else, and a store that serves."""
    async with LocalStorageService(LocalSettings(path=root, fsync=False)) as service:
        found = {info.key: await service.download(info.key) async for info in service.list()}
        assert found in allowed, sorted(found)
        assert os.listdir(root / "tmp") == []
        await service.upload("afterwards", b"works")
        assert await service.download("afterwards") == b"works"
        assert await service.get_url("afterwards")
        assert os.listdir(root / "tmp") == []


def in_child(function: Callable[[], Any], *expected: int) -> int:
    """Run a function in a child and return its exit status: 0, or one that is expected."""
    child = os.fork()
    if not child:
        status = 0
        try:
            function()
        except BaseException:  # noqa: BLE001 - a child ends here, whatever happened
            traceback.print_exc()
            status = 1
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, *expected):
        raise SystemExit(f"a child ended with {status}")
    return status


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
