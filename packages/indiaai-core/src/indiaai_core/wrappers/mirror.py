"""The wrapper `mirror`: keeps a second store as the first one is, for a move; selected by `STORAGE_WRAPPERS=mirror`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any

import anyio
from pydantic import Field

from indiaai_core.environment import Environment
from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, ObjectExists, ObjectNotFound, Unsupported
from indiaai_core.layers import Layer
from indiaai_core.platform import MOUNT_PATH
from indiaai_core.selection import Selection, Slot, select
from indiaai_core.settings import SettingsConfigDict
from indiaai_core.storage import LAYER, ObjectInfo, StorageService, normalize_key
from indiaai_core.storage.meeting import meet
from indiaai_core.storage.service import KEPT
from indiaai_core.storage.transfer import Spot, transfer
from indiaai_core.wrapper_settings import WrapperSettings
from indiaai_core.wrappers.delegation import Operation, closing, delegate

__all__ = ["MirrorSettings", "mirror", "with_mirror"]

INSTANCE = "mirror"
"""The named instance that is the second store: `MIRROR_STORAGE_TYPE`."""

CHECK_SECONDS = 1.0
OCTETS = "application/octet-stream"

logger = logging.getLogger("indiaai.storage")


class MirrorSettings(WrapperSettings):
    """What the wrapper `mirror` goes by."""

    model_config = SettingsConfigDict(env_prefix="STORAGE_MIRROR_")

    fallback: bool = Field(default=True, description="read from the second store what the first one does not have")
    seconds: float = Field(default=30.0, gt=0, description="how long a write waits for a second store that does not go on")


def mirror(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of the main store, and keep the one that `MIRROR_STORAGE_TYPE` selects as it is.

    In front of the instance `mirror` itself, which takes the main store's wrappers, it lets the platform start where that
    store does not answer; other instances that take them are left as they are.

    Raises:
        ConfigurationError: The layer is another one, the second store is not set up or is the first, an instance is to be
            mirrored, or a store has no `stat`.
        InvalidSettings: A setting has a wrong value.
    """
    variable = environment.variable(layer.wrappers_variable)
    if layer.interface is not StorageService:
        raise _refusal(variable, f"'mirror' cannot stand before {layer.name}", "the layer storage")
    if environment.instance == INSTANCE:
        return _bearable(service)
    if environment.instance:
        if variable in environment:
            raise _refusal(variable, "'mirror' cannot stand before a named instance", "the main store")
        return service
    selection = _select_second(layer, environment)
    second = selection.make()
    for wrapper in takewhile(lambda wrapper: getattr(wrapper, "func", None) is not mirror, selection.wrappers):
        second = wrapper(second)
    settings = MirrorSettings.of(layer, environment)
    return with_mirror(service, second, fallback=settings.fallback, seconds=settings.seconds)


def with_mirror(first: StorageService, second: StorageService, *, fallback: bool = True, seconds: float = 30.0) -> Any:
    """Return a storage service that writes to two stores; docs/decisions/mirror-follows.md says why it does so as it does.

    The first one is the store: what it says holds, and a write is done when it has done it. Then the second is made to be as
    the first is, also where others write to both at the same time. Where it cannot be, that is told by a warning, and
    `indiaai storage cp --update` brings it later.

    Args:
        first: The store. Both must have `stat`.
        second: What becomes as the first is. It is closed with the service.
        fallback: Whether what the first does not have is read from the second. Then a delete that the second did not do
            raises, for what it was to delete could still be read.
        seconds: For how long a write waits for a second store that does not go on.

    Raises:
        ConfigurationError: A store has no `stat`.
    """
    for service in (first, second):
        if "stat" not in service.capabilities:
            raise _refusal("MIRROR_STORAGE_TYPE", f"{type(service).__name__} has no `stat`", "backends that have it")
    around = (_FallingBack if fallback else _Mirror)(first, second, seconds=seconds)
    if first.http_app is None:
        # Links that the second gave out while it was the only one are served as before.
        second.served_at, around.attributes["http_app"] = first.served_at, second.http_app
    else:
        second.served_at = f"{MOUNT_PATH}/storage/{INSTANCE}"
    proxy: StorageService = delegate(first, interface=StorageService, around=around.operation, attributes=around.attributes)
    vars(proxy)["aclose"] = around.aclose
    return proxy


class _Mirror:
    """What stands in front of the first store: writes go to it, and then the second is made to be as it is."""

    needed_of_both = KEPT

    def __init__(self, first: StorageService, second: StorageService, *, seconds: float) -> None:
        self._first, self._second = first, second
        self._seconds = seconds
        self._capabilities = first.capabilities - (self.needed_of_both - second.capabilities)
        self.attributes: dict[str, Any] = {"capabilities": self._capabilities}

    def operation(self, operation: Operation) -> Callable[..., Any]:
        """Return what is called in an operation's place."""
        replacement: Callable[..., Any] = getattr(self, operation.name, operation.call)
        return replacement

    async def upload(self, file_key: str, file_data: Any, content_type: str = OCTETS, **options: Any) -> str:
        """Store an object in the first, and then what is there in the second."""
        for name in KEPT - self._capabilities:
            if options.get(name):
                raise Unsupported(type(self._second).__name__, name)
        address = await self._first.upload(file_key, file_data, content_type, **options)
        await self._follow("upload", file_key)
        return address

    async def copy(self, source_key: str, target_key: str) -> str:
        """Let the first store copy, and bring what came of it."""
        address = await self._first.copy(source_key, target_key)
        await self._follow("copy", target_key)
        return address

    async def delete(self, file_key: str) -> bool:
        """Delete from the first store, and then from the second what the first does not have."""
        was_there = await self._first.delete(file_key)
        await self._follow("delete", file_key)
        return was_there

    async def aclose(self) -> None:
        """Close both."""
        try:
            await self._first.aclose()
        finally:
            await self._second.aclose()

    async def _follow(self, operation: str, key: str) -> None:
        """Make the second as the first is, and say so where that fails: what was done in the first is done."""
        source, target = (Spot(store, normalize_key(key)) for store in (self._first, self._second))
        reason = "it was cancelled"
        try:
            with anyio.move_on_after(self._seconds) as scope:

                def go_on(_: int) -> None:
                    scope.deadline = anyio.current_time() + self._seconds

                await transfer(source, target, found=await source.find(), deletes=True, on_chunk=go_on)
            reason = f"it did not go on for {self._seconds:g} s" if scope.cancelled_caught else ""
        except Exception as error:  # noqa: BLE001 - a stranger's backend may raise anything, and the first store has done it
            reason = f"{type(error).__name__}: {error}"
        finally:
            if reason:
                logger.warning(
                    "The second store was left behind by %s of %r: %s. `indiaai storage cp --update --delete` mends it.",
                    operation,
                    target.key,
                    reason,
                )


class _FallingBack(_Mirror):
    """The same, and what the first does not have is read from the second."""

    needed_of_both = KEPT | {"list"}

    async def upload(self, file_key: str, file_data: Any, content_type: str = OCTETS, **options: Any) -> str:
        """Store an object; with `if_absent` only if neither has one."""
        if options.get("if_absent") and "if_absent" in self._capabilities and await self._second.exists(file_key):
            raise ObjectExists(normalize_key(file_key))
        return await super().upload(file_key, file_data, content_type, **options)

    async def copy(self, source_key: str, target_key: str) -> str:
        """Copy an object, which is brought to the first store where only the second has it."""
        try:
            return await super().copy(source_key, target_key)
        except ObjectNotFound:
            source, target = (Spot(store, normalize_key(source_key)) for store in (self._second, self._first))
            if_absent = "if_absent" in self._capabilities
            with suppress(ObjectExists):
                await transfer(source, target, found=await self._second.stat(source_key), if_absent=if_absent)
            return await super().copy(source_key, target_key)

    async def delete(self, file_key: str) -> bool:
        """Delete from the second store first: as long as it has the object, that could still be read."""
        was_in_second = await self._second.delete(file_key)
        return await self._first.delete(file_key) or was_in_second

    async def download(self, file_key: str) -> bytes:
        """Read from the first, else from the second."""
        try:
            return await self._first.download(file_key)
        except ObjectNotFound:
            return await self._second.download(file_key)

    async def stream(self, file_key: str, **options: Any) -> AsyncIterator[bytes]:
        """Read from the first, else from the second."""
        for store in (self._first, self._second):
            has_begun = False
            try:
                async with closing(store.stream(file_key, **options)) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
                return
            except ObjectNotFound:
                if has_begun or store is self._second:
                    raise

    async def stat(self, file_key: str) -> ObjectInfo:
        """Ask the first, else the second."""
        try:
            return await self._first.stat(file_key)
        except ObjectNotFound:
            return await self._second.stat(file_key)

    async def exists(self, file_key: str) -> bool:
        """Ask the first, else the second."""
        return await self._first.exists(file_key) or await self._second.exists(file_key)

    async def get_url(self, file_key: str, expires_in: int = 3600, **options: Any) -> str:
        """Return a link to where the object is, which has to be asked for; to the first where it is nowhere."""
        url = await self._first.get_url(file_key, expires_in, **options)
        if await self._first.exists(file_key) or not await self._second.exists(file_key):
            return url
        return await self._second.get_url(file_key, expires_in, **options)

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """List both as one: what both have is told as the first has it."""
        count = 0
        met = meet(self._first.list(prefix, limit=limit), self._second.list(prefix, limit=limit))
        async with closing(met) as all_met:
            async for _, here, there in all_met:
                if count == limit:
                    return
                count += 1
                info = here or there
                if info is not None:
                    yield info


def _bearable(service: Any) -> Any:
    proxy = delegate(service, interface=StorageService, around=lambda operation: operation.call)
    vars(proxy)["check"] = partial(_check, service)
    return proxy


async def _check(second: StorageService) -> None:
    """Check the second store: that it does not answer is told, and stops nobody, for writes do not need it."""
    reason = f"it did not answer within {CHECK_SECONDS:g} s"
    try:
        with anyio.move_on_after(CHECK_SECONDS):
            await second.check()
            return
    except BackendUnavailable as error:
        reason = str(error)
    logger.warning("The second store does not answer, and misses what is written meanwhile: %s", reason)


def _select_second(layer: Layer, environment: Environment) -> Selection:
    variable = f"{INSTANCE.upper()}_{layer.variable}"
    if not environment.get(variable):
        raise _refusal(variable, "it is not set", "the name of the second store's backend")
    first, second = (select(Slot(layer.name, name), environment) for name in (None, INSTANCE))
    if first.settings is not None and (first.backend, first.settings) == (second.backend, second.settings):
        raise _refusal(variable, "it selects the first store", f"another one; its settings are read with {INSTANCE.upper()}_")
    return second


def _refusal(variable: str, found: str, expected: str) -> ConfigurationError:
    remedy = f"change {variable}, or take 'mirror' out of {LAYER.wrappers_variable}"
    return ConfigurationError(
        f"The wrapper 'mirror' cannot be set up. {variable}: {found}; expected {expected}. To mend it: {remedy}.",
        faults=[Fault(variable, found, expected, remedy)],
    )
