"""Named instances that a person names on the command line; imported by the commands that work on one."""

from __future__ import annotations

from collections.abc import Iterator

from indiaai_core.discovery import find_layer, nearest
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.selection import Slot, declared_slots, select

__all__ = ["require_instance"]


def require_instance(slot: Slot, environment: Environment) -> None:
    """Refuse a name that no variable is set for: it would be the main instance, which is not what was meant.

    Args:
        slot: The layer, and the named instance; None for the main one.
        environment: The variables.

    Raises:
        ConfigurationError: No variable begins with the name, or the backend is not set up.
    """
    layer, name = slot.layer, slot.instance
    if name is None:
        return
    own = environment.for_instance(name)
    if any(own.variable(variable) in environment for variable in _variables(slot, environment)):
        return
    selector = own.variable(find_layer(layer).variable)
    known = [found.instance for found in declared_slots(environment) if found.layer == layer and found.instance]
    likely = nearest(name, known)
    hint = f" Did you mean {likely!r}?" if likely else ""
    raise ConfigurationError(
        f"There is no {layer} instance {name!r}: no variable is set for it, such as {selector}.{hint} "
        f"Known: {', '.join(known) or 'none'}.",
        faults=[Fault(selector, "not set", "the backend of the instance")],
    )


def _variables(slot: Slot, environment: Environment) -> Iterator[str]:
    yield find_layer(slot.layer).variable
    selection = select(slot, environment)
    if selection.settings is not None:
        from indiaai_core.settings import field_variables

        for variables in field_variables(type(selection.settings)).values():
            yield from variables
