"""Promises about failing calls; part of `StorageConformance`."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

import pytest

from indiaai_core.errors import IndiaAIError, InvalidKey, ObjectNotFound, StorageError
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import listed
from indiaai_core.testing.storage.sources import chunks_of

__all__ = ["ErrorPromises"]


class ErrorPromises:
    """A call that fails says why and leaves nothing behind."""

    @promise("S73", "After calls that failed the service serves as before, and nothing of them is left.")
    async def test_a_service_serves_after_errors(self, service: StorageService) -> None:
        for _ in range(20):
            with pytest.raises(InvalidKey):
                await service.upload("../outside", chunks_of(b"x", 1))
            with pytest.raises(ObjectNotFound):
                await service.download("missing")
            with pytest.raises(TypeError):
                await service.upload("failing", _failing())

        await service.upload("good", b"good")

        assert await service.download("good") == b"good"
        assert not await service.exists("failing")
        if "list" in service.capabilities:
            assert await listed(service) == ["good"]

    @promise("S74", "An error crosses a process boundary whole, with its key.")
    async def test_an_error_can_be_pickled(self, service: StorageService) -> None:
        with pytest.raises(StorageError) as raised:
            await service.download("missing")

        revived = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - what was pickled the moment before

        assert isinstance(revived, IndiaAIError)
        assert (str(revived), revived.__dict__) == (str(raised.value), raised.value.__dict__)


async def _failing() -> AsyncIterator[bytes]:
    yield b"some"
    raise TypeError("the source failed")
