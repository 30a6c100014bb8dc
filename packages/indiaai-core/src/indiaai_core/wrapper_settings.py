"""The base of the settings of wrappers, which each layer has for itself; imported by wrappers and by who looks for mistakes."""

from __future__ import annotations

from typing import Self, cast

from indiaai_core.environment import Environment
from indiaai_core.layers import Layer
from indiaai_core.settings import BackendSettings, SettingsConfigDict, field_variables, load_settings

__all__ = ["WrapperSettings", "settings_of"]


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
        return load_settings(cls.in_layer(layer), environment)

    @classmethod
    def in_layer(cls, layer: Layer) -> type[Self]:
        """Return the class of one layer's: its variables have the layer's name."""
        prefix = cls.model_config.get("env_prefix", "").replace("<LAYER>", layer.name.upper())
        named = type(cls.__name__, (cls,), {"model_config": SettingsConfigDict(env_prefix=prefix)})
        return cast(type[Self], named)


def settings_of(wrapper: str, layer: Layer) -> type[WrapperSettings] | None:
    """Return the settings of a wrapper that was loaded, as a layer has them; None where it has none of this kind.

    They are known by their variables, which begin with the layer's name and the wrapper's.
    """
    begins = f"{layer.name}_{wrapper}".upper()
    for kind in WrapperSettings.__subclasses__():
        found = kind.in_layer(layer)
        names = {name for names in field_variables(found).values() for name in names}
        if begins in names or any(name.startswith(f"{begins}_") for name in names):
            return found
    return None
