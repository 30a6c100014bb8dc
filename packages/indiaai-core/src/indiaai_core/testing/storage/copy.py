"""Promises about `copy`; part of `StorageConformance`."""

from __future__ import annotations

import pytest

from indiaai_core.errors import ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise

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
