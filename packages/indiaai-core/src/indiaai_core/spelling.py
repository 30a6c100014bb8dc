"""Finds variables that look like a setting and are none; imported by the platform.

A misspelt variable is otherwise silent: the default is used, and nobody knows until production.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.errors import Fault, InvalidSettings
from indiaai_core.layers import Layer
from indiaai_core.selection import Selection, loadable_layers

if TYPE_CHECKING:
    from indiaai_core.settings import BackendSettings

__all__ = ["ConfigurationWarning", "is_strict", "misspelt_variables", "point_out"]

_TRUE = frozenset({"1", "true", "yes", "on"})


class ConfigurationWarning(UserWarning):
    """A variable looks like a setting and is none; an error under `INDIAAI_STRICT=1`."""


def point_out(selections: Iterable[Selection], environment: Environment) -> None:
    """Warn of every misspelt variable.

    Raises:
        InvalidSettings: There is one, and `INDIAAI_STRICT` is set.
    """
    faults = misspelt_variables(selections, environment)
    if faults and is_strict(environment):
        raise InvalidSettings(faults)
    for fault in faults:
        warnings.warn(str(fault), ConfigurationWarning, stacklevel=3)


def is_strict(environment: Environment) -> bool:
    """Tell whether what is warned of is to be an error: `INDIAAI_STRICT=1`."""
    return environment.get("INDIAAI_STRICT", "").lower() in _TRUE


def misspelt_variables(selections: Iterable[Selection], environment: Environment) -> list[Fault]:
    """Find every variable that begins as those of a selected backend or wrapper, or is much like a layer's, and is no setting.

    Args:
        selections: The backends in use: those of others are not looked at, for they are not loaded.
        environment: The variables.
    """
    known = set(_layer_variables())
    prefixes: set[str] = set()
    others: set[str] = set()
    for selection in selections:
        own = environment.for_instance(selection.slot.instance)
        names, prefix = _settings_variables(selection)
        known.update(names, map(own.variable, names))
        layer = find_layer(selection.slot.layer)
        known.update((own.variable(layer.variable), layer.wrappers_variable, own.variable(layer.wrappers_variable)))
        for begins, variables in _wrappers_variables(layer, own):
            known.update(variables, map(own.variable, variables))
            (prefixes if variables else others).update((f"{begins}_", own.variable(f"{begins}_")))
            others.update(() if variables else (begins, own.variable(begins)))
        if prefix:
            prefixes.update((prefix, own.variable(prefix)))
    unknown = [name for name in environment if name not in known and not name.startswith(tuple(others))]
    return [fault for name in unknown for fault in _suspect(name, known, tuple(prefixes))]


def _suspect(variable: str, known: set[str], prefixes: tuple[str, ...]) -> Iterator[Fault]:
    if prefixes and variable.startswith(prefixes):
        near = _nearest(variable, known, cutoff=0.6)
        remedy = f"rename it to {near}, or remove it" if near else "remove it"
        yield Fault(variable, "no setting has this name", near or "the name of a setting", remedy)
        return
    if variable.endswith(tuple(f"_{name}" for name in _layer_variables())):  # a named instance's, such as OLD_STORAGE_TYPE
        return
    # 0.8 tells STORAGE_TPYE (0.92) from DATABASE_URL, which is like DATABASE_TYPE (0.72) and a setting of another backend.
    near = _nearest(variable, _layer_variables(), cutoff=0.8)
    if near:
        yield Fault(variable, "no setting has this name", near, f"rename it to {near} if that is what was meant")


def _nearest(variable: str, known: Iterable[str], *, cutoff: float) -> str | None:
    candidates = sorted(name for name in known if abs(len(name) - len(variable)) <= 4)
    if not candidates:
        return None
    from difflib import get_close_matches

    return next(iter(get_close_matches(variable, candidates, n=1, cutoff=cutoff)), None)


def _layer_variables() -> Iterator[str]:
    yield from (name for layer in loadable_layers() for name in (layer.variable, layer.wrappers_variable))


def _wrappers_variables(layer: Layer, own: Environment) -> Iterator[tuple[str, list[str]]]:
    """Give what the variables of each wrapper begin with, and all of them; none where a stranger's does not say them."""
    for name in own.get(layer.wrappers_variable, "").split(","):
        if name.strip():
            from indiaai_core.wrapper_settings import settings_of

            settings_class = settings_of(name.strip(), layer)
            yield f"{layer.name}_{name.strip()}".upper(), _variables_of(settings_class) if settings_class else []


def _settings_variables(selection: Selection) -> tuple[list[str], str]:
    if selection.settings is None:
        return [], ""
    settings_class = type(selection.settings)
    return _variables_of(settings_class), str(settings_class.model_config.get("env_prefix", "")).upper()


def _variables_of(settings_class: type[BackendSettings]) -> list[str]:
    from indiaai_core.settings import field_variables

    return [variable for variables in field_variables(settings_class).values() for variable in variables]
