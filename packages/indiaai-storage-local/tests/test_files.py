"""An object's file is whole or is said to be corrupt, and never gives wrong bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from indiaai_core.errors import StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService
from indiaai_storage_local.files import Label, ObjectFile, seal

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 20


@pytest.fixture
async def file(service: LocalStorageService, root: Path) -> Path:
    """The file of the object `object`."""
    await service.upload("object", CONTENT, "text/plain", metadata={"note": "क" * 680})
    return root / "objects" / "object"


async def test_the_payload_comes_first(file: Path) -> None:
    """Other programs can open the file: its bytes begin with the object's."""
    assert file.read_bytes().startswith(CONTENT)


async def test_a_store_may_be_copied_by_any_program(service: LocalStorageService, root: Path, file: Path) -> None:
    """A copy of the folder, without extended attributes or a second file, is the store."""
    shutil.copytree(root, root.parent / "copied")
    async with LocalStorageService(LocalSettings(path=root.parent / "copied")) as copied:
        info = await copied.stat("object")

        assert await copied.download("object") == CONTENT
        assert info == await service.stat("object")
        assert info.metadata == {"note": "क" * 680}


@pytest.mark.parametrize("position", [0, 2000, len(CONTENT) - 1])
async def test_a_flipped_bit_in_the_payload_is_found(service: LocalStorageService, file: Path, position: int) -> None:
    """A download whose bytes are not those that were stored raises, and names the object."""
    flip(file, position)

    with pytest.raises(StorageError, match="'object' is corrupt"):
        await service.download("object")


async def test_a_flipped_bit_after_the_payload_is_found(service: LocalStorageService, file: Path) -> None:
    """Whichever byte of the trailer or the footer is wrong, nothing is read from the file."""
    for position in range(len(CONTENT), file.stat().st_size):
        flip(file, position)
        with pytest.raises(StorageError, match="'object' is corrupt"):
            await service.stat("object")
        flip(file, position)

    assert await service.download("object") == CONTENT


async def test_a_file_that_was_cut_is_found(service: LocalStorageService, file: Path) -> None:
    """Whatever is left of a file that lost its end, nothing is read from it."""
    for size in (0, 1, 15, 16, 17, len(CONTENT), file.stat().st_size - 1):
        os.truncate(file, size)

        with pytest.raises(StorageError, match="'object' is corrupt"):
            await service.stat("object")
        with pytest.raises(StorageError, match="'object' is corrupt"):
            [info async for info in service.list()]


async def test_a_file_with_bytes_before_its_payload_is_found(service: LocalStorageService, file: Path) -> None:
    """A footer at the right place and a size that does not fit are not enough."""
    file.write_bytes(b"more" + file.read_bytes())

    with pytest.raises(StorageError, match="5124 bytes and was stored with 5120"):
        await service.stat("object")


async def test_a_corrupt_object_may_be_replaced_or_deleted(service: LocalStorageService, file: Path) -> None:
    """What the error advises works."""
    file.write_bytes(b"garbage")
    await service.upload("object", b"again")
    again = await service.download("object")

    file.write_bytes(b"garbage")

    assert again == b"again"
    assert await service.delete("object")
    assert not await service.exists("object")


def test_a_file_that_is_cut_while_it_is_read_is_found(tmp_path: Path) -> None:
    """A read that gets less than there was raises, and a file may be closed twice."""
    path = tmp_path / "object"
    path.write_bytes(CONTENT + seal("0", size=len(CONTENT), label=Label("a/b")))
    file = ObjectFile.open(os.open(path, os.O_RDONLY), "object")
    os.truncate(path, 100)

    with pytest.raises(StorageError, match="cut while it was read"):
        file.read(0, 200)
    file.close()
    file.close()


def test_a_system_that_reads_less_than_asked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read is whole, however little the system gives at a time."""
    path = tmp_path / "object"
    path.write_bytes(CONTENT + seal("0", size=len(CONTENT), label=Label("a/b")))
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))

    file = ObjectFile.open(os.open(path, os.O_RDONLY), "object")

    assert file.read(10, 1000) == CONTENT[10:1010]
    file.close()


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))
