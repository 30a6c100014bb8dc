"""The operations that a bad network is tried on, and what must hold after each; imported by those tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from indiaai_core import BackendUnavailable, ObjectNotFound
from indiaai_storage_r2 import R2StorageService

__all__ = ["OPERATIONS", "Operation", "attempt", "open_uploads", "plant", "require_whole", "wait_until"]

MIB = 1024 * 1024
OLD = bytes(range(256)) * 1200
SMALL = b"new " * 10_000
LARGE = bytes(reversed(range(256))) * (44 * 1024)
BEFORE = b"before"


async def _chunks() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 700_001):
        yield LARGE[start : start + 700_001]


async def _stream(service: R2StorageService) -> bytes:
    return b"".join([chunk async for chunk in service.stream("old")])


async def _list(service: R2StorageService) -> list[str]:
    return [info.key async for info in service.list()]


async def _size(service: R2StorageService) -> int:
    return (await service.stat("old")).size


@dataclass(frozen=True)
class Operation:
    """Something that is asked of a service.

    Attributes:
        run: Asks for it.
        gives: What it returns; None where that does not matter.
        leaves: What is under `key` after it was acknowledged; None where nothing is.
    """

    run: Callable[[R2StorageService], Awaitable[object]]
    gives: object = None
    leaves: bytes | None = BEFORE


OPERATIONS: Mapping[str, Operation] = {
    "upload": Operation(lambda service: service.upload("key", SMALL), leaves=SMALL),
    "upload of parts": Operation(lambda service: service.upload("key", _chunks()), leaves=LARGE),
    "download": Operation(lambda service: service.download("old"), gives=OLD),
    "stream": Operation(_stream, gives=OLD),
    "delete": Operation(lambda service: service.delete("key"), leaves=None),
    "copy": Operation(lambda service: service.copy("old", "key"), leaves=OLD),
    "list": Operation(_list, gives=["key", "old"]),
    "stat": Operation(_size, gives=len(OLD)),
}


async def plant(direct: R2StorageService) -> None:
    """Put what the operations find into an empty bucket."""
    await direct.upload("old", OLD)
    await direct.upload("key", BEFORE)


async def attempt(operation: Operation, service: R2StorageService) -> BackendUnavailable | None:
    """Ask for it, and return the error in which it ended, which must be one that says that a retry may help.

    Raises:
        AssertionError: It gave something else than it promises.
    """
    try:
        given = await operation.run(service)
    except BackendUnavailable as error:
        return error
    assert operation.gives is None or given == operation.gives
    return None


async def require_whole(operation: Operation, direct: R2StorageService, *, is_acknowledged: bool) -> None:
    """Require that the acknowledged is there, and that the failed changed nothing or all.

    Args:
        operation: What was asked for.
        direct: A service that reaches the store undisturbed.
        is_acknowledged: Whether it ended without an error.
    """
    found: bytes | None
    try:
        found = await direct.download("key")
    except ObjectNotFound:
        found = None
    allowed = [operation.leaves] if is_acknowledged else [operation.leaves, BEFORE]
    assert found in allowed
    assert await direct.download("old") == OLD


def open_uploads(direct: R2StorageService, bucket: str) -> int:
    """Return how many uploads the store has begun and not ended."""
    return len(direct.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until a condition holds, and return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
