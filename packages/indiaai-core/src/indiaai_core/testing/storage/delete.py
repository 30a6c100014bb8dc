"""Promises about `delete`; part of `StorageConformance`."""

from __future__ import annotations

import anyio
import pytest

from indiaai_core.errors import ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise

__all__ = ["DeletePromises"]


class DeletePromises:
    """What is deleted is gone, and nothing else is."""

    @promise("S48", "`delete` returns True if there was an object, and False if not.")
    async def test_delete_says_whether_there_was_one(self, service: StorageService) -> None:
        await service.upload("gone", b"x")

        answers = [await service.delete("gone"), await service.delete("gone"), await service.delete("never/was")]

        assert answers == [True, False, False]

    @promise("S49", "A deleted object is not found any more, and its key may be used again.")
    async def test_a_deleted_object_is_gone(self, service: StorageService) -> None:
        await service.upload("gone", b"first")

        await service.delete("gone")

        assert not await service.exists("gone")
        with pytest.raises(ObjectNotFound):
            await service.download("gone")
        await service.upload("gone", b"second")
        assert await service.download("gone") == b"second"

    @promise("S50", "`delete` removes the one object, and neither those below its key nor those that look like it.")
    async def test_delete_removes_one_object(self, service: StorageService) -> None:
        others = ("folder/a", "folder/a/b/c", "folder2", "Folder")
        for key in ("folder", *others):
            await service.upload(key, key.encode())

        await service.delete("folder")
        await service.delete("folder/a/b")

        assert [await service.download(key) for key in others] == [key.encode() for key in others]

    @promise("S97", "Of many deletes of one object at once, one at least says True, and none fails.")
    async def test_many_may_delete_one_object(self, service: StorageService, second_service: StorageService) -> None:
        answers: list[bool] = []

        async def delete(deleter: StorageService) -> None:
            answers.append(await deleter.delete("wanted"))

        for _ in range(3):
            await service.upload("wanted", b"x")
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(delete, service)
                    group.start_soon(delete, second_service)
            assert True in answers
            assert not await service.exists("wanted")
            answers.clear()
