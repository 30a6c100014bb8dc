"""Which backend the variables select for each layer; imported by the platform and the command line.

Nothing here makes a service: it goes from the variables to classes and settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from indiaai_core.discovery import catalogue, find_layer, find_layers, load_backend
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, InvalidSettings
from indiaai_core.hooks import Wrapper
from indiaai_core.layers import Layer
from indiaai_core.naming import Names

__all__ = ["Selection", "Slot", "declared_slots", "loadable_layers", "names_of", "raise_together", "select"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on the platform that one service fills.

    Attributes:
        layer: The layer's name.
        instance: The named instance; None for the main one.
    """

    layer: str
    instance: str | None = None

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Read `storage` or `storage:archive`."""
        layer, _, instance = text.partition(":")
        return cls(layer, instance or None)

    def __str__(self) -> str:
        """Render the slot as `parse` reads it."""
        return f"{self.layer}:{self.instance}" if self.instance else self.layer


@dataclass(frozen=True, slots=True)
class Selection:
    """What fills a slot: a class that was loaded, and its settings.

    Attributes:
        slot: The slot.
        backend: The backend's class.
        settings: What it is made with; None where it has no settings.
        wrappers: What `<LAYER>_WRAPPERS` puts in front of it, the innermost first.
    """

    slot: Slot
    backend: type[Any]
    settings: Any
    wrappers: tuple[Wrapper, ...] = ()

    def make(self) -> Any:
        """Make the service."""
        return self.backend() if self.settings is None else self.backend(self.settings)


def select(slot: Slot, environment: Environment) -> Selection:
    """Find the class, the settings and the wrappers that the variables select for a slot.

    Raises:
        ConfigurationError: The layer or the backend is not there or does not fit, its settings are wrong, or a
            wrapper is not installed.
    """
    layer = find_layer(slot.layer)
    own = environment.for_instance(slot.instance)
    selector = own.get(layer.variable) or layer.default_backend
    backend = load_backend(layer, selector, variable=own.named(layer.variable))
    wrappers: tuple[Wrapper, ...] = ()
    if own.get(layer.wrappers_variable):
        from indiaai_core.composition import find_wrappers

        wrappers = find_wrappers(layer, own)
    settings_class = getattr(backend, "settings_class", None)
    if settings_class is None:
        return Selection(slot, backend, None, wrappers)
    from indiaai_core.settings import load_settings

    return Selection(slot, backend, load_settings(settings_class, own), wrappers)


def names_of(slot: Slot, environment: Environment) -> Names:
    """Return which variables a person would set for what fills a slot, however its backend names them."""
    layer, own = find_layer(slot.layer), environment.for_instance(slot.instance)
    variables = [layer.variable, layer.wrappers_variable]
    with suppress(ConfigurationError):  # what is wrong with the selection is reported by itself
        settings = select(slot, environment).settings
        if settings is not None:
            from indiaai_core.settings import field_variables

            variables += [name for names in field_variables(type(settings)).values() for name in names]
    return Names(variables, own)


def declared_slots(environment: Environment, requires: Iterable[str] = ()) -> list[Slot]:
    """Return the slots that are filled at start.

    These are: what `requires` names; every layer whose variable is set; every other installed layer whose default backend
    is installed too; and the named instances for which a variable `<NAME>_<LAYER>_TYPE` names an installed backend.
    """
    slots = [Slot.parse(text) for text in requires]
    for layer in loadable_layers():
        if environment.get(layer.variable) or layer.default_backend in catalogue().names(layer.group):
            slots.append(Slot(layer.name))
        slots += _named_slots(layer, environment)
    return sorted(dict.fromkeys(slots), key=str)


def loadable_layers() -> Iterator[Layer]:
    """Yield the installed layers, but those that do not load."""
    for name in find_layers():
        try:
            yield find_layer(name)
        except ConfigurationError:  # raised again to whoever selects or requires it
            continue


def _named_slots(layer: Layer, environment: Environment) -> Iterator[Slot]:
    # A value that names nothing installed is taken for another program's variable (GF_DATABASE_TYPE is Grafana's).
    suffix = f"_{layer.variable}"
    for variable, value in environment.items():
        name = value.partition("@")[0].lower()
        if variable.endswith(suffix) and name in catalogue().names(layer.group):
            yield Slot(layer.name, variable.removesuffix(suffix).lower())


def raise_together(errors: Sequence[ConfigurationError]) -> None:
    """Raise nothing, the one error, or one error that names the faults of all."""
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    faults = list(dict.fromkeys(fault for error in errors for fault in error.faults))
    if all(isinstance(error, InvalidSettings) for error in errors):
        raise InvalidSettings(faults)
    details = "".join(f"\n  {str(error).replace(chr(10), chr(10) + '  ')}" for error in errors)
    raise ConfigurationError(f"{len(errors)} things are wrong with the configuration:{details}", faults=faults)
