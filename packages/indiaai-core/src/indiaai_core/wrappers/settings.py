"""The base of the settings of wrappers, which each layer has for itself; imported by the wrappers beside it and by plugins."""

from __future__ import annotations

from typing import Self, cast

from indiaai_core.environment import Environment
from indiaai_core.layers import Layer
from indiaai_core.settings import BackendSettings, SettingsConfigDict, load_settings

__all__ = ["WrapperSettings"]


class WrapperSettings(BackendSettings):
    """Settings whose prefix begins with `<LAYER>_`: what `STORAGE_RETRY_ATTEMPTS` says holds for storage alone."""

    @classmethod
    def of(cls, layer: Layer, environment: Environment) -> Self:
        """Read them for a layer.

        Args:
            layer: The layer.
            environment: The variables as the instance sees them.

        Raises:
            InvalidSettings: One has a wrong value; its variable is named.
        """
        prefix = cls.model_config.get("env_prefix", "").replace("<LAYER>", layer.name.upper())
        named = type(cls.__name__, (cls,), {"model_config": SettingsConfigDict(env_prefix=prefix)})
        return load_settings(cast(type[Self], named), environment)
