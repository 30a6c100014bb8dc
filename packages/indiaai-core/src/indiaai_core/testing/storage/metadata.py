"""Promises about `upload(…, metadata=…)`; part of `StorageConformance`."""

from __future__ import annotations

import pytest

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise

__all__ = ["MetadataPromises"]


class MetadataPromises:
    """The user's own pairs stay with the object."""

    @promise("S66", "Metadata is kept with the object: names in lower case, values any text.", needs=("metadata", "stat"))
    async def test_metadata_is_kept(self, service: StorageService) -> None:
        pairs = {"Author": "Kalidasa", "title": "मेघदूत 🙏", "empty": "", "a-b_1": " spaced \n"}

        await service.upload("poem", b"x", metadata=pairs)

        kept = dict((await service.stat("poem")).metadata)
        assert kept == {"author": "Kalidasa", "title": "मेघदूत 🙏", "empty": "", "a-b_1": " spaced \n"}

    @promise("S67", "Metadata is replaced with the object.", needs=("metadata", "stat"))
    async def test_metadata_is_replaced_with_the_object(self, service: StorageService) -> None:
        await service.upload("poem", b"x", metadata={"author": "Kalidasa"})

        await service.upload("poem", b"x")

        assert dict((await service.stat("poem")).metadata) == {}

    @promise(
        "S68",
        "Metadata of more than 2 KiB or with an impossible name is InvalidRequest.",
        needs="metadata",
    )
    async def test_impossible_metadata_is_refused(self, service: StorageService) -> None:
        await service.upload("capable", b"x", metadata={"name": "v" * 2044})

        for pairs in ({"a name": "v"}, {"": "v"}, {"नाम": "v"}, {"-a": "v"}, {"name": "v" * 2045}, {"name": "क" * 683}):
            with pytest.raises(InvalidRequest):
                await service.upload("refused", b"x", metadata=pairs)

        assert not await service.exists("refused")
