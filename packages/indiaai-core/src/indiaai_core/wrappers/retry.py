"""The wrapper `retry`: calls again what the backend could not serve for a moment; selected by `<LAYER>_WRAPPERS=retry`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from inspect import BoundArguments
from typing import Any

import anyio
from pydantic import Field

from indiaai_core.environment import Environment
from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault
from indiaai_core.layers import Layer
from indiaai_core.settings import SettingsConfigDict
from indiaai_core.wrapper_settings import WrapperSettings
from indiaai_core.wrappers.delegation import Kind, Operation, closing, delegate

__all__ = ["RetrySettings", "retry"]

IsRepeatable = Callable[[str, Mapping[str, Any]], bool]


class RetrySettings(WrapperSettings):
    """What the wrapper `retry` goes by."""

    model_config = SettingsConfigDict(env_prefix="<LAYER>_RETRY_")

    attempts: int = Field(default=3, ge=1, le=100, description="how often an operation is tried in all, 1 to 100")
    seconds: float = Field(default=0.2, ge=0, le=3600, description="the first pause; each one after is twice as long")
    max_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="the longest pause, also where the backend asks for more"
    )

    def pause(self, attempt: int, asked: float | None) -> float:
        """Return the seconds to wait after a failed attempt: half of it fixed and half random, so that callers spread.

        Args:
            attempt: Which attempt failed, from 1.
            asked: What the backend asks for, if it does.
        """
        longest = min(self.max_seconds, self.seconds * 2.0 ** (attempt - 1))
        spread = longest * random.uniform(0.5, 1)  # noqa: S311 - not a secret
        return min(self.max_seconds, max(spread, asked or 0.0))


def retry(service: Any, *, layer: Layer, environment: Environment) -> Any:
    """Stand in front of a service, and call again what raised `BackendUnavailable`, where the layer says that it may be.

    A stream is begun again only as long as it has given nothing. What may not be repeated raises as before.

    Raises:
        ConfigurationError: The layer does not say what may be repeated.
        InvalidSettings: A setting has a wrong value.
    """
    if layer.is_repeatable is None:
        variable = environment.named(layer.wrappers_variable)
        raise ConfigurationError(
            f"{variable} names the wrapper 'retry', and the layer {layer.name!r} does not say which of its operations may "
            f"be repeated. Take 'retry' out of {variable}.",
            faults=[Fault(variable, f"'retry' cannot stand before {layer.name}", "other wrappers", "take 'retry' out")],
        )
    settings = RetrySettings.of(layer, environment)
    return delegate(service, interface=layer.interface, around=_Retries(settings, layer.is_repeatable).around)


class _Retries:
    def __init__(self, settings: RetrySettings, is_repeatable: IsRepeatable) -> None:
        self._settings = settings
        self._is_repeatable = is_repeatable

    def around(self, operation: Operation) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            attempt = 1
            while True:
                try:
                    return await operation.call(*args, **kwargs)
                except BackendUnavailable as error:
                    await self._wait(attempt, error, operation, operation.signature.bind(*args, **kwargs))
                attempt += 1

        if operation.kind is Kind.BLOCK:
            return operation.call
        return self._around_stream(operation) if operation.kind is Kind.STREAM else call

    def _around_stream(self, operation: Operation) -> Callable[..., Any]:
        async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            attempt, has_given = 1, False
            while True:
                try:
                    async with closing(operation.call(*args, **kwargs)) as items:
                        async for item in items:
                            has_given = True
                            yield item
                    return
                except BackendUnavailable as error:
                    if has_given:
                        raise
                    await self._wait(attempt, error, operation, operation.signature.bind(*args, **kwargs))
                attempt += 1

        return stream

    async def _wait(self, attempt: int, error: BackendUnavailable, operation: Operation, given: BoundArguments) -> None:
        """Wait before the next attempt, or raise the error where there is to be none."""
        given.apply_defaults()
        if attempt >= self._settings.attempts or not self._is_repeatable(operation.name, given.arguments):
            raise error
        await anyio.sleep(self._settings.pause(attempt, error.retry_after))
