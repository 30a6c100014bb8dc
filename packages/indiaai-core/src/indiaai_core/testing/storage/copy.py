"""Promises about `copy`; part of `StorageConformance`."""

from __future__ import annotations

from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from indiaai_core.errors import BackendUnavailable, ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import MEBIBYTE, difference, pattern

__all__ = ["CopyPromises"]


class CopyPromises:
    """A copy is an object like its source, all or nothing."""

    @promise("S51", "A copy has its source's content and content type, and the address that an upload would have.")
    async def test_a_copy_is_like_its_source(self, service: StorageService) -> None:
        await service.upload("source", b"content", "text/plain")

        address = await service.copy("source", "folder/target")

        assert await service.download("folder/target") == b"content"
        assert await service.download("source") == b"content"
        if "stat" in service.capabilities:
            assert (await service.stat("folder/target")).content_type == "text/plain"
        assert address == await service.upload("folder/target", b"again")

    @promise("S52", "A copy of a key without an object raises ObjectNotFound and leaves the target as it was.")
    async def test_a_copy_of_nothing_raises(self, service: StorageService) -> None:
        await service.upload("target", b"old")

        with pytest.raises(ObjectNotFound) as raised:
            await service.copy("missing", "target")

        assert raised.value.key == "missing"
        assert await service.download("target") == b"old"

    @promise("S53", "A copy replaces its target, and is an object of its own afterwards.")
    async def test_a_copy_is_an_object_of_its_own(self, service: StorageService) -> None:
        await service.upload("source", b"content")
        await service.upload("target", b"something longer")

        await service.copy("source", "target")
        await service.upload("source", b"changed")

        assert await service.download("target") == b"content"

    @promise("S54", "An object may be copied onto itself, and is unchanged.")
    async def test_a_copy_onto_itself_changes_nothing(self, service: StorageService) -> None:
        await service.upload("same", b"content", "text/plain")

        await service.copy("same", "same")

        assert await service.download("same") == b"content"

    @promise("S55", "A copy has its source's metadata.", needs=("metadata", "stat"))
    async def test_a_copy_has_the_metadata(self, service: StorageService) -> None:
        await service.upload("source", b"content", metadata={"author": "Kalidasa"})

        await service.copy("source", "target")

        assert dict((await service.stat("target")).metadata) == {"author": "Kalidasa"}

    @promise("S98", "A copy is of one version of its source, whole, also of a long one that is replaced meanwhile.")
    async def test_a_copy_is_of_one_version(self, service: StorageService, second_service: StorageService) -> None:
        versions = [pattern(9 * MEBIBYTE), pattern(9 * MEBIBYTE - 1, salt=1)]

        async def replace() -> None:
            for number in range(4):
                await second_service.upload("source", versions[(number + 1) % 2])
                await anyio.lowlevel.checkpoint()

        await service.upload("source", versions[0])
        await service.upload("target", b"old")
        async with anyio.create_task_group() as group:
            group.start_soon(replace)
            for _ in range(3):
                with suppress(BackendUnavailable):  # as a stream whose object is replaced may end
                    await service.copy("source", "target")

        wrong = difference(await service.download("target"), b"old", *versions)
        assert not wrong
