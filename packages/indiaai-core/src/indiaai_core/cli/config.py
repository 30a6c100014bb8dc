"""`indiaai config`: each setting of what is selected, its value with secrets masked, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from indiaai_core.cli.output import print_failure, print_json, print_table
from indiaai_core.discovery import find_layer, load_backend
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.layers import Layer
from indiaai_core.selection import Slot, declared_slots, select
from indiaai_core.spelling import misspelt_variables

__all__ = ["show_config"]

MASK = "********"
MISSING = "(not set, and needed)"

_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE_?KEY")
_PASSWORD_IN_URL = re.compile(r"(://[^/@\s:]*):[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class _Setting:
    """One line: what a service is made from."""

    service: str
    variable: str
    value: str
    origin: str
    is_secret: bool = False


def show_config(*, as_json: bool) -> int:
    """Print the settings, and return the exit status: 0, or 1 where the configuration is wrong."""
    try:
        environment = Environment.read()
    except ConfigurationError as error:
        print_failure(str(error))
        return 1
    settings: list[_Setting] = []
    errors: list[ConfigurationError] = []
    selections = []
    for slot in declared_slots(environment):
        try:
            selections.append(select(slot, environment))
        except ConfigurationError as error:
            errors.append(error)
        settings += _settings(slot, environment.for_instance(slot.instance))  # by now its wrappers are loaded, too
    warnings = misspelt_variables(selections, environment)
    faults = [fault for error in errors for fault in error.faults]
    if as_json:
        shown = {"faults": faults, "warnings": warnings}
        lists = {name: [asdict(fault) for fault in found] for name, found in shown.items()}
        print_json({"settings": [asdict(setting) for setting in settings], **lists})
    else:
        rows = [[setting.service, setting.variable, setting.value, setting.origin] for setting in settings]
        print_table(["service", "variable", "value", "from"], rows)
        _complain(errors, warnings)
    return 1 if errors else 0


def _complain(errors: list[ConfigurationError], warnings: list[Fault]) -> None:
    for error in errors:
        print_failure(str(error))
    for warning in warnings:
        print_failure(f"Warning: {warning}")


def _settings(slot: Slot, environment: Environment) -> Iterator[_Setting]:
    """Give the lines of one service: the backend, what stands in front of it, then the backend's own settings."""
    layer = find_layer(slot.layer)
    yield _setting(slot, environment, layer.variable, default=layer.default_backend)
    yield from _wrappers(slot, layer, environment)
    try:
        selector = environment.get(layer.variable) or layer.default_backend
        backend = load_backend(layer, selector, variable=environment.named(layer.variable))
    except ConfigurationError:  # there are no settings to show, and the caller says why
        return
    settings_class = getattr(backend, "settings_class", None)
    if settings_class is not None:
        yield from _own(slot, environment, settings_class)


def _own(slot: Slot, environment: Environment, settings_class: type[Any]) -> Iterator[_Setting]:
    from indiaai_core.settings import field_variables, load_settings

    made: Any = None
    try:
        made = load_settings(settings_class, environment)
    except ConfigurationError:  # what was found is shown as it stands there
        made = None
    for name, variables in field_variables(settings_class).items():
        field = settings_class.model_fields[name]
        given = next((variable for variable in variables if variable in environment), variables[0])
        value = getattr(made, name) if made is not None else field.get_default(call_default_factory=False)
        is_missing = made is None and field.is_required()
        default = MISSING if is_missing else _text(value)
        is_secret = "Secret" in repr(field.annotation)
        yield _setting(slot, environment, given, default=default, value=None if made is None else value, is_secret=is_secret)


def _wrappers(slot: Slot, layer: Layer, environment: Environment) -> Iterator[_Setting]:
    named = environment.get(layer.wrappers_variable, "")
    if not named:
        return
    yield _setting(slot, environment, layer.wrappers_variable)
    from indiaai_core.wrapper_settings import settings_of

    for wrapper in map(str.strip, named.split(",")):
        settings_class = settings_of(wrapper, layer)
        if settings_class is not None:
            yield from _own(slot, environment, settings_class)
            continue
        prefix = f"{layer.name}_{wrapper}_".upper()
        for variable in sorted(variable for variable in environment if variable.startswith(prefix)):
            yield _setting(slot, environment, variable)


def _setting(
    slot: Slot, environment: Environment, name: str, *, default: str = "", value: Any = None, is_secret: bool = False
) -> _Setting:
    given = environment.given_by(name)
    shown = default if given is None else environment[name] if value is None else _text(value)
    is_secret = is_secret or _SECRET_NAME.search(name) is not None
    if is_secret and shown not in ("", MISSING):
        shown = MASK
    shown = _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", shown)
    origin = "default" if given is None else environment.origin(given) or "default"
    return _Setting(str(slot), given or environment.variable(name), shown, origin, is_secret)


def _text(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
