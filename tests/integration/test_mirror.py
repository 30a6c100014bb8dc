"""A folder and a bucket behind the wrapper `mirror`: the promises of one store, and a move while an application goes on."""

from __future__ import annotations

import json
import random
import shlex
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import anyio
import pytest

from commands import call
from environments import ROOT
from following import blocks
from indiaai_core import ObjectNotFound, Platform, StorageService
from indiaai_core.testing import StorageConformance
from indiaai_core.wrappers.mirror import with_mirror
from indiaai_storage_local import LocalSettings, LocalStorageService
from indiaai_storage_r2 import R2Settings, R2StorageService
from motoserver import moto_server
from stores import local, r2

pytestmark = pytest.mark.anyio

ROUNDS = 8
"""How often each part of the application writes, and reads, at least at each step."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the address of an S3 server."""
    with moto_server("documents") as address:
        yield address


class TestFolderAndBucket(StorageConformance):
    """The folder is the store, the bucket follows."""

    @pytest.fixture
    async def pair(self, server: str, tmp_path: Path) -> AsyncIterator[list[StorageService]]:
        """An empty folder, and an empty bucket."""
        keys = {"access_key_id": "testing", "secret_access_key": "testing"}
        bucket = R2StorageService(R2Settings(endpoint_url=server, bucket_name="documents", **keys))  # type: ignore[arg-type] # text
        folder = LocalStorageService(LocalSettings(path=tmp_path / "folder"))
        for info in [info async for info in bucket.list()]:
            await bucket.delete(info.key)
        yield [folder, bucket]
        await folder.aclose()
        await bucket.aclose()

    @pytest.fixture
    def service(self, pair: list[StorageService]) -> Any:
        """Both as one."""
        return with_mirror(pair[0], pair[1])


class Application:
    """Two processes that write, read, list and delete; each remembers what was acknowledged, and what it should not have seen.

    A key has one writer at a time: what a reader finds must be no older than what was acknowledged before it began.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        """Begin with these settings."""
        self._settings = [settings, settings]
        self._restarts = [anyio.Event(), anyio.Event()]
        self._random = random.Random(7)  # noqa: S311 - not a secret
        self._begun: dict[str, list[bytes | None]] = defaultdict(list)
        self._stores: dict[int, StorageService] = {}
        self.acknowledged: dict[str, int] = {}
        self.faults: list[str] = []
        self._rounds = [0, 0]
        self._round = anyio.Event()
        self._is_over = False

    async def run(self, process: int) -> None:
        """Work as one process, again and again with the settings of then, until it is over."""
        while not self._is_over:
            restart = self._restarts[process] = anyio.Event()
            async with Platform(self._settings[process]) as platform:
                self._stores[process] = platform.get_service("storage")
                while not restart.is_set():
                    await self._write(process)
                    await self._read(process)
                    self._rounds[process] += 1
                    self._round.set()
                    self._round = anyio.Event()

    async def restart(self, settings: dict[str, str]) -> None:
        """Start one process after the other with other settings; between the two, and after them, both go on."""
        for process in (0, 1):
            self._settings[process] = settings
            self._restarts[process].set()
            await self.go_on()

    async def go_on(self) -> None:
        """Wait until both have written and read some more."""
        until = [rounds + ROUNDS for rounds in self._rounds]
        with anyio.fail_after(120):
            while any(now < then for now, then in zip(self._rounds, until, strict=True)):
                await self._round.wait()

    def stop(self) -> None:
        """End both, after what they are at."""
        self._is_over = True
        for restart in self._restarts:
            restart.set()

    def expected(self) -> dict[str, bytes]:
        """Return what was acknowledged to be there, where nothing is under way."""
        return {key: content for key in self.acknowledged if (content := self._begun[key][-1]) is not None}

    async def _write(self, process: int) -> None:
        key = f"live/{process}/{self._random.randrange(6)}"
        version = len(self._begun[key])
        content = None if version % 4 == 3 else f"{version}:".encode() + b"x" * self._random.randrange(3000)
        self._begun[key].append(content)
        if content is None:
            await self._stores[process].delete(key)
        else:
            await self._stores[process].upload(key, content, "text/plain", metadata={"version": f"{version}"})
        self.acknowledged[key] = version

    async def _read(self, process: int) -> None:
        known = dict(self.acknowledged)
        listed = {info.key async for info in self._stores[process].list("live/")}
        for key, version in known.items():
            possible = self._begun[key][version:]
            if (key not in listed and None not in possible) or (key in listed and not any(possible)):
                self.faults.append(f"process {process} lists {key} wrongly: {version} of {possible}")
        if known:
            key = self._random.choice(sorted(known))
            before = self.acknowledged[key]
            try:
                found: bytes | None = await self._stores[process].download(key)
            except ObjectNotFound:
                found = None
            if found not in self._begun[key][before:]:
                self.faults.append(f"process {process} reads {found!r} of {key}, {before} was acknowledged")
        old = f"old/{self._random.randrange(40)}"
        if await self._stores[process].download(old) != old.encode():
            self.faults.append(f"process {process} reads {old} wrongly")


MIRROR = {"STORAGE_WRAPPERS": "mirror", "STORAGE_MIRROR_FALLBACK": "0"}

PAGE = (ROOT / "docs" / "how-to" / "change-backends.md").read_text("utf-8")
_, _, SECTION = PAGE.partition("### Without a stop")
STEPS = [block.text for block in blocks(SECTION.partition("###")[0])]


def settings_of_the_page(server: str, folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings before the page's steps, and after each that changes them."""
    real = {"R2_ACCOUNT_ID=…": f"R2_ENDPOINT_URL={server}", "=…": "=testing", "/srv/app": f"{folder}"}
    settings: dict[str, str] = {}
    for number, text in enumerate(text for text in STEPS if "=" in text):
        meant = reduce(lambda text, shown: text.replace(shown, real[shown]), real, text)
        lines = [(line[0], *line[1:].split("=", 1)) for line in meant.splitlines()]
        if number == 0:
            settings = {name: value for sign, name, value in lines if sign == " "}
            yield dict(settings)
        gone = {name for sign, name, _ in lines if sign == "-"}
        assert gone <= settings.keys()
        settings = {name: value for name, value in settings.items() if name not in gone}
        settings |= {name: value for sign, name, value in lines if sign == "+"}
        yield dict(settings)


async def bring(folder: Path, variables: dict[str, str]) -> None:
    """Copy to the second store what it lacks, and again, until only what is being written now is copied or refused."""
    (shown,) = (text for text in STEPS if text.startswith("indiaai"))
    command = [*shlex.split(shown)[1:], "--json"]
    for _ in range(5):
        done = await anyio.to_thread.run_sync(lambda: call(*command, folder=folder, variables=variables))
        told = json.loads(done.stdout)
        assert told["error"] is None, told
        if not any("live/" not in pair for pair in [*told["copied"], *told["refused"], *told["deleted"]]):
            return
    raise AssertionError(told)


async def contents(variables: dict[str, str]) -> dict[str, bytes]:
    """Return what is in a store."""
    async with Platform(variables) as platform:
        store = platform.get_service("storage")
        return {info.key: await store.download(info.key) async for info in store.list()}


@pytest.mark.parametrize("is_back", [False, True], ids=["there", "back"])
async def test_a_store_moves_while_the_application_goes_on(
    is_back: bool, server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the page's steps: nobody reads anything older than was acknowledged, and at the end all of it is there."""
    plain, mirrored, exchanged, moved = settings_of_the_page(server, tmp_path)
    here, there = local(tmp_path), r2(server)
    if is_back:
        here, there = plain, moved = there, here
        mirrored, exchanged = {**here, **prefixed(there), **MIRROR}, {**there, **prefixed(here), **MIRROR}
    await empty(r2(server))
    old = {f"old/{number}": f"old/{number}".encode() for number in range(40)}
    await store(here, old)
    await store(there, {"stray": b"of an earlier trial"})
    application = Application(plain)

    async with anyio.create_task_group() as group:
        group.start_soon(application.run, 0)
        group.start_soon(application.run, 1)
        await application.go_on()
        await application.restart(mirrored)
        await bring(tmp_path, mirrored)
        await application.restart(exchanged)
        await application.restart(moved)
        application.stop()

    assert application.faults == []
    assert await contents(there) == {**old, **application.expected()}
    assert "was left behind by" not in caplog.text


async def test_what_the_second_store_missed_is_brought_later(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the bucket does not answer, the application stores, replaces and deletes, and is told; one command mends it."""
    await empty(r2(server))
    up = {**local(tmp_path), **prefixed(r2(server)), **MIRROR}
    down = {**up, "MIRROR_R2_ENDPOINT_URL": "http://127.0.0.1:9", "MIRROR_R2_RETRY_SECONDS": "0"}
    await store(up, {"replaced": b"old", "deleted": b"old", "kept": b"old"})

    async with Platform(down) as platform:
        service = platform.get_service("storage")
        await service.upload("replaced", b"newer than the other")
        await service.upload("new", b"new")
        await service.delete("deleted")
    missed = await contents(r2(server))
    await bring(tmp_path, up)

    assert missed == {"replaced": b"old", "deleted": b"old", "kept": b"old"}
    assert caplog.text.count("The second store was left behind by") == 3
    assert await contents(r2(server)) == {"replaced": b"newer than the other", "new": b"new", "kept": b"old"}


async def store(variables: dict[str, str], objects: dict[str, bytes]) -> None:
    """Store objects."""
    async with Platform(variables) as platform:
        for key, content in objects.items():
            await platform.get_service("storage").upload(key, content)


async def empty(variables: dict[str, str]) -> None:
    """Delete all that is in a store."""
    async with Platform(variables) as platform:
        service = platform.get_service("storage")
        for key in [info.key async for info in service.list()]:
            await service.delete(key)


def prefixed(variables: dict[str, str]) -> dict[str, str]:
    """Return variables as the second store's."""
    return {f"MIRROR_{name}": value for name, value in variables.items()}
