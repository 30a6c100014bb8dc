"""The wrappers that a variable names, such as `STORAGE_WRAPPERS=retry,metrics`; imported where one is set."""

from __future__ import annotations

from functools import partial
from typing import Any

from indiaai_core.discovery import catalogue, nearest
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault, PluginConflict, PluginLoadError
from indiaai_core.hooks import Wrapper
from indiaai_core.layers import Layer
from indiaai_core.scan import Registration

__all__ = ["WRAPPERS_GROUP", "find_wrappers"]

WRAPPERS_GROUP = "indiaai.wrappers"
"""The entry-point group of wrappers: callables that take a service, and `layer` and `environment` by name."""


def find_wrappers(layer: Layer, environment: Environment) -> tuple[Wrapper, ...]:
    """Return what `<LAYER>_WRAPPERS` names, the innermost first: the first name in the variable is the outermost.

    Args:
        layer: The layer whose service is to be wrapped.
        environment: The variables as the instance sees them; handed to each wrapper.

    Raises:
        ConfigurationError: Nothing installed answers to a name.
        PluginConflict: Two distributions claim one.
        PluginLoadError: It is installed, and raises at import or cannot be called.
    """
    variable = environment.named(layer.wrappers_variable)
    named = [part.strip().lower() for part in environment.get(layer.wrappers_variable, "").split(",")]
    return tuple(
        partial(_load(_find(part, variable)), layer=layer, environment=environment) for part in reversed(named) if part
    )


def _find(name: str, variable: str) -> Registration:
    claims = [found for found in catalogue().in_group(WRAPPERS_GROUP) if found.name == name]
    if len(claims) > 1:
        distributions = [claim.distribution for claim in claims]
        raise PluginConflict(WRAPPERS_GROUP, name, distributions=distributions, variable=variable)
    if claims:
        return claims[0]
    installed = catalogue().names(WRAPPERS_GROUP)
    likely = nearest(name, installed)
    hint = f" Did you mean {likely!r}?" if likely else ""
    listed = ", ".join(installed) or "none"
    raise ConfigurationError(
        f"{variable} names the wrapper {name!r}, which is not installed. Installed are: {listed}.{hint}",
        faults=[Fault(variable, f"{name!r} is not installed", f"names out of: {listed}")],
    )


def _load(registration: Registration) -> Any:
    subject = f"The wrapper {registration.name!r}"
    try:
        wrapper = registration.load()
    except (Exception, SystemExit) as error:  # a plugin may raise anything at import, and hurts only its selector
        reason = f"{type(error).__name__}: {error}"
        raise PluginLoadError(subject, distribution=registration.distribution, reason=reason) from error
    if not callable(wrapper):
        reason = f"{registration.value} is {wrapper!r}, which cannot be called"
        raise PluginLoadError(subject, distribution=registration.distribution, reason=reason)
    return wrapper
