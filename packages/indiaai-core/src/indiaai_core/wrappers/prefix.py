"""The wrapper `prefix`: keeps a tenant's objects under a prefix of their keys; selected by `STORAGE_WRAPPERS=prefix`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import BoundArguments
from typing import Any

from pydantic import Field

from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault, InvalidKey, ObjectExists, ObjectNotFound
from indiaai_core.layers import Layer
from indiaai_core.settings import SettingsConfigDict
from indiaai_core.storage import StorageService, normalize_key, normalize_prefix
from indiaai_core.wrapper_settings import WrapperSettings
from indiaai_core.wrappers.delegation import Kind, Operation, closing, delegate

__all__ = ["PrefixSettings", "prefix", "with_prefix"]

_KEYS = frozenset({"file_key", "source_key", "target_key"})


class PrefixSettings(WrapperSettings):
    """What the wrapper `prefix` goes by."""

    model_config = SettingsConfigDict(env_prefix="STORAGE_")

    prefix: str = Field(description="what stands before every key, such as tenants/asha/")


def prefix(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of a storage service, and keep all of its objects under `STORAGE_PREFIX`.

    Raises:
        ConfigurationError: The layer is another one.
        InvalidSettings: `STORAGE_PREFIX` is not set.
        InvalidKey: It is not what a key can begin with.
    """
    if layer.interface is not StorageService:
        variable = environment.named(layer.wrappers_variable)
        raise ConfigurationError(
            f"{variable} names the wrapper 'prefix', which is for the layer storage.",
            faults=[Fault(variable, f"'prefix' cannot stand before {layer.name}", "other wrappers", "take 'prefix' out")],
        )
    return with_prefix(service, PrefixSettings.of(layer, environment).prefix)


def with_prefix(service: StorageService, prefix: str) -> StorageService:
    """Return a storage service all of whose keys lie under a prefix of another one's, and that sees no others.

    For one tenant's request: `platform.override_here("storage", with_prefix(storage, "tenants/asha/"))`. Keys are given and
    taken without the prefix, also in errors; the addresses that `upload`, `copy` and the URLs give have it. A key has its
    1,024 bytes with the prefix. What the interface does not cover, such as `client`, is the whole store's.

    Args:
        service: The service of the whole store.
        prefix: A key as `normalize_key` takes it; a `/` at its end is added where there is none.

    Raises:
        InvalidKey: The prefix is not what a key can begin with.
    """
    tenant = _Tenant(f"{normalize_key(prefix.rstrip('/'))}/")
    proxy: StorageService = delegate(service, interface=StorageService, around=tenant.around)
    # The round trip of `indiaai check` goes through our own operations: it may have rights to nothing but the prefix.
    vars(proxy)["probe"] = StorageService.probe.__get__(proxy)
    return proxy


class _Tenant:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def around(self, operation: Operation) -> Callable[..., Any]:
        if operation.name == "list":
            return self._listing(operation)
        if not _KEYS & operation.signature.parameters.keys():
            return operation.call

        async def call(*args: Any, **kwargs: Any) -> Any:
            given = self._placed(operation, args, kwargs)
            with self._told_without_prefix():
                result = await operation.call(*given.args, **given.kwargs)
            return self._without_prefix(result) if operation.name == "stat" else result

        async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            given = self._placed(operation, args, kwargs)
            with self._told_without_prefix():
                async with closing(operation.call(*given.args, **given.kwargs)) as items:
                    async for item in items:
                        yield item

        return stream if operation.kind is Kind.STREAM else call

    def _listing(self, operation: Operation) -> Callable[..., Any]:
        async def listing(prefix: str = "", *, limit: int | None = None) -> AsyncIterator[Any]:
            async with closing(operation.call(f"{self._prefix}{normalize_prefix(prefix)}", limit=limit)) as items:
                async for info in items:
                    yield self._without_prefix(info)

        return listing

    def _placed(self, operation: Operation, args: Any, kwargs: Any) -> BoundArguments:
        given = operation.signature.bind(*args, **kwargs)
        for name in _KEYS & given.arguments.keys():
            given.arguments[name] = self._place(given.arguments[name])
        return given

    def _place(self, key: str) -> str:
        own = normalize_key(key)  # first: what would leave the prefix, such as `..`, is refused as it was given
        try:
            return normalize_key(f"{self._prefix}{own}")
        except InvalidKey as error:
            raise InvalidKey(key, f"with the prefix {self._prefix!r} it is longer than 1024 bytes") from error

    def _without_prefix(self, info: Any) -> Any:
        return replace(info, key=info.key.removeprefix(self._prefix))

    @contextmanager
    def _told_without_prefix(self) -> Iterator[None]:
        try:
            yield
        except (ObjectNotFound, ObjectExists) as error:
            raise type(error)(error.key.removeprefix(self._prefix)) from error
