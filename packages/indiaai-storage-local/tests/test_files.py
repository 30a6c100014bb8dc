"""An object's file is whole or is said to be corrupt, and never gives wrong bytes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from indiaai_core.errors import StorageError
from indiaai_storage_local import LocalSettings, LocalStorageService
from indiaai_storage_local.files import Digests, Label, ObjectFile, seal

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


async def test_a_file_without_the_newer_fields_is_read(service: LocalStorageService, root: Path) -> None:
    """An object that was stored before cache control and content disposition were kept has none."""
    content = "olderक".encode()
    trailer = (
        f'{{"content_type": "text/plain", "etag": "{hashlib.sha256(content).hexdigest()}", "size": 8, '
        '"last_modified": "2026-01-02T03:04:05.678901+00:00", "metadata": {"note": "x"}}'
    ).encode()
    await service.check()
    footer = struct.pack(">8sII", b"indiaai\x01", len(trailer), zlib.crc32(trailer))
    (root / "objects" / "older").write_bytes(content + trailer + footer)

    info = await service.stat("older")

    assert await service.download("older") == content
    assert (info.content_type, info.metadata) == ("text/plain", {"note": "x"})
    assert (info.cache_control, info.content_disposition) == ("", "")


@pytest.mark.parametrize("trailer", [b"[]", b"7", b"{}", b"nonsense", b'{"size": 1}', b"\xff"])
async def test_a_trailer_that_is_not_an_objects_is_found(service: LocalStorageService, root: Path, trailer: bytes) -> None:
    """A checksum that fits is not enough."""
    await service.check()
    footer = struct.pack(">8sII", b"indiaai\x01", len(trailer), zlib.crc32(trailer))
    (root / "objects" / "foreign").write_bytes(b"x" + trailer + footer)

    with pytest.raises(StorageError, match="'foreign' is corrupt"):
        await service.stat("foreign")
    with pytest.raises(StorageError, match="'foreign' is corrupt"):
        await service.download("foreign")


LARGE = bytes(range(256)) * 1200


async def test_a_stream_is_compared_before_its_last_chunk(service: LocalStorageService, root: Path) -> None:
    """Who reads a whole object to its end has what was stored; a damaged one ends in an error, short of its last bytes."""
    await service.upload("large", LARGE)
    flip(root / "objects" / "large", 5)
    stream = service.stream("large", chunk_size=100_000)

    received = [len(await anext(stream)) for _ in range(3)]

    assert received == [100_000] * 3
    with pytest.raises(StorageError, match="'large' is corrupt"):
        await anext(stream)


async def test_a_range_is_not_compared(service: LocalStorageService, root: Path) -> None:
    """The digest is of the whole."""
    await service.upload("large", LARGE)
    flip(root / "objects" / "large", 5)

    part = b"".join([chunk async for chunk in service.stream("large", start=10)])

    assert part == LARGE[10:]


async def test_a_stream_that_is_left_early_closes_its_file(service: LocalStorageService) -> None:
    """Also while the next chunk is being read."""
    await service.upload("large", LARGE)
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []

    for _ in range(20):
        stream = service.stream("large", chunk_size=1000)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator

    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


@pytest.mark.parametrize("content", [b"small" * 10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("is_damaged", [True, False])
@pytest.mark.parametrize("way", ["by the system", "by hand", "in part"])
async def test_a_copy_is_compared_before_it_is_there(
    service: LocalStorageService,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    is_damaged: bool,
    way: str,
) -> None:
    """A damaged object is not copied, and what is under the other key stays; a whole one is, with all that is known of it."""
    known = {"cache_control": "max-age=1", "content_disposition": "attachment", "metadata": {"a": "क"}}
    await service.upload("source", content, "text/plain", **known)  # type: ignore[arg-type] # three texts and a dict
    await service.upload("target", b"old")
    if is_damaged:
        flip(root / "objects" / "source", 5)
    if way != "by the system" and hasattr(os, "copy_file_range"):
        monkeypatch.setattr(os, "copy_file_range", refusing(os.copy_file_range, 0 if way == "by hand" else 1000))

    if is_damaged:
        with pytest.raises(StorageError, match="'source' is corrupt"):
            await service.copy("source", "target")
        assert await service.download("target") == b"old"
    else:
        await service.copy("source", "target")
        source, target = await service.stat("source"), await service.stat("target")
        assert await service.download("target") == content
        assert dataclasses.replace(source, key="", last_modified=target.last_modified) == dataclasses.replace(target, key="")
    assert os.listdir(root / "tmp") == []


def refusing(call: Callable[..., int], size: int) -> Callable[..., int]:
    """Let a system call copy a few bytes once, and then nothing."""
    remaining = [size]

    def copy(source: int, target: int, asked: int, start: int) -> int:
        count, remaining[0] = min(asked, remaining[0]), 0
        if not count:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return call(source, target, count, start)

    return copy


@pytest.mark.parametrize(
    "label",
    [
        Label("a/b"),
        Label("a/b", {}, "", 'inline; filename="a"'),
        Label('a/b; x="\\"', {"note": "क", "other": '"'}, "max-age=1", "attachment; filename*=UTF-8''%E0"),
    ],
)
def test_a_trailer_is_the_json_that_any_program_makes(label: Label) -> None:
    """Byte for byte, whatever a user says of an object; and the digest does not depend on how the bytes are taken."""
    digests = Digests()
    digests.update(CONTENT)

    trailer = seal(digests, size=len(CONTENT), label=label)[:-16]

    known = json.loads(trailer)
    assert json.dumps(known).encode() == trailer
    assert known["etag"] == hashlib.sha256(CONTENT).hexdigest()
    assert (
        Label(known["content_type"], known["metadata"], known.get("cache_control", ""), known.get("content_disposition", ""))
        == label
    )


def test_a_file_that_is_cut_while_it_is_read_is_found(tmp_path: Path) -> None:
    """A read that gets less than there was raises, and a file may be closed twice."""
    path = tmp_path / "object"
    path.write_bytes(CONTENT + seal(Digests(), size=len(CONTENT), label=Label("a/b")))
    file = ObjectFile.open(os.open(path, os.O_RDONLY), "object")
    os.truncate(path, 100)

    with pytest.raises(StorageError, match="cut while it was read"):
        file.read(0, 200)
    file.close()
    file.close()


def test_a_system_that_reads_less_than_asked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read is whole, however little the system gives at a time."""
    path = tmp_path / "object"
    path.write_bytes(CONTENT + seal(Digests(), size=len(CONTENT), label=Label("a/b")))
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
