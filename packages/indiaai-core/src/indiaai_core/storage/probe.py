"""The round trip of `indiaai check` through a store: each right is tried; imported by the interface."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, IndiaAIError, ObjectNotFound, StorageError

if TYPE_CHECKING:
    from indiaai_core.storage.service import StorageService

__all__ = ["Probe"]

CONTENT = b"indiaai check"
TAKE_BACK_SECONDS = 0.3


class Probe:
    """One round trip: what may not be done is kept, and the rest tried all the same."""

    def __init__(self, service: StorageService) -> None:
        """Choose a key that nobody else has: several hosts may check at once."""
        self._service = service
        self._key = f"indiaai-check/{os.urandom(16).hex()}"
        self._refused: dict[str, IndiaAIError] = {}
        self._done: list[str] = []

    async def run(self) -> None:
        """Store, read, list and delete an object; see `StorageService.probe`."""
        general = await self._check()
        try:
            await self._try_all()
        except BackendUnavailable:
            if general is None:
                raise
        if general is not None and not self._done:  # the bucket or the token, and no right of it
            raise general
        if self._refused:
            raise self._explain()
        if general is not None:
            raise general

    async def _check(self) -> ConfigurationError | None:
        try:
            await self._service.check()
        except ConfigurationError as error:
            return error
        return None

    async def _try_all(self) -> None:
        await self._try("write", self._service.upload(self._key, CONTENT, "text/plain"))
        is_there = "write" in self._done
        try:
            found = await self._try("read", self._read())
            if is_there and "read" in self._done and found != CONTENT:
                raise StorageError(f"The object {self._key!r} did not come back as it was stored.")
            if "list" in self._service.capabilities:
                await self._try("list", self._list())
        except BaseException:
            await self._take_back()
            raise
        await self._try("delete", self._service.delete(self._key))
        if not is_there and "delete" in self._done:  # there was nothing to delete, so a store need not have been asked
            self._done.remove("delete")

    async def _take_back(self) -> None:
        """Delete the object whatever ended the round trip, which may be that it was given up."""
        import anyio

        with suppress(IndiaAIError), anyio.move_on_after(TAKE_BACK_SECONDS, shield=True):
            await self._service.delete(self._key)

    async def _try(self, right: str, step: Awaitable[Any]) -> Any:
        try:
            found = await step
        except BackendUnavailable:
            raise
        except IndiaAIError as error:
            self._refused[right] = error
            return None
        self._done.append(right)
        return found

    async def _read(self) -> bytes | None:
        try:
            return await self._service.download(self._key)
        except ObjectNotFound:  # which who may not read is not told
            return None

    async def _list(self) -> None:
        async for _ in self._service.list(self._key, limit=1):
            pass

    def _explain(self) -> IndiaAIError:
        first = next(iter(self._refused.values()))
        rights = _joined(list(self._refused))
        left = f" The object {self._key!r} is left there." if "write" in self._done and "delete" in self._refused else ""
        message = f"It may {_joined(self._done) or 'do nothing'}, and not {rights}: {first}{left}"
        faults = [replace(fault, found=f"may not {right}: {fault.found}") for right, fault in _by_fault(self._refused).values()]
        is_settings = all(isinstance(error, ConfigurationError) for error in self._refused.values())
        error: IndiaAIError = ConfigurationError(message, faults=faults) if is_settings else StorageError(message)
        error.__cause__ = first
        return error


def _by_fault(refused: dict[str, IndiaAIError]) -> dict[str, tuple[str, Fault]]:
    """Join the rights that are refused with one variable at fault, so that it is told once."""
    found: dict[str, tuple[list[str], Fault]] = {}
    for right, error in refused.items():
        for fault in getattr(error, "faults", ()):
            found.setdefault(fault.variable, ([], fault))[0].append(right)
    return {variable: (_joined(rights), fault) for variable, (rights, fault) in found.items()}


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
