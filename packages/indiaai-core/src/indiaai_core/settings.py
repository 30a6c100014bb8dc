"""The base of every backend's settings, and their one report; imported by plugins, and by the platform when first needed.

Importing this module loads pydantic-settings (about 0.15 s): the front door gives its names lazily.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import pydantic

try:
    pydantic.create_model("Probe")
except Exception as error:  # noqa: BLE001 - another package's malformed metadata stops pydantic's first model, and only that
    logging.getLogger("indiaai").debug("pydantic could not look for its own plugins: %s", error)

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from indiaai_core.environment import Environment
from indiaai_core.errors import Fault, InvalidSettings
from indiaai_core.naming import ErrorT, Names

__all__ = ["BackendSettings", "SettingsConfigDict", "field_variables", "load_settings"]

SettingsT = TypeVar("SettingsT", bound="BackendSettings")


class BackendSettings(BaseSettings):
    """The settings of one backend, read from the environment and `.env`.

    A subclass sets `model_config = SettingsConfigDict(env_prefix="R2_")` and one annotated field a variable: the field
    `bucket_name` is then `R2_BUCKET_NAME`. Secrets are `SecretStr`. A field's description is its documentation, and says
    what is expected. Made by hand, `LocalSettings(path=…)` takes what it is given and reads the rest; an instance never
    changes.

    Raises:
        InvalidSettings: Variables are absent or have a wrong value; all of them in one error.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, validate_default=False
    )
    _names: Names = pydantic.PrivateAttr(default_factory=Names)

    def __init__(self, **values: Any) -> None:
        """Read what is not given, and check all of it."""
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise InvalidSettings(_faults(type(self), error, values)) from None
        self._names = Names(_all_variables(type(self)), Environment.current())

    def __eq__(self, other: object) -> bool:
        # What they say counts, and not which variables said it.
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def variables(self, text: str) -> str:
        """Return a text with the variables that a person would set: a named instance's own, where one gave the value or could.

        Args:
            text: What names the settings' variables, or all of them as in `R2_…`.
        """
        return self._names.in_text(text)

    def renamed(self, error: ErrorT) -> ErrorT:
        """Put the variables that a person would set into an error, as `variables` does into a text, and return it."""
        return self._names.in_error(error)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read from the active `Environment`, which knows `.env` and named instances."""
        return init_settings, _EnvironmentSource(settings_cls)


class _EnvironmentSource(EnvSettingsSource):
    """pydantic-settings' own reading of variables, over an `Environment` in place of `os.environ`."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in Environment.current().items()}


def load_settings(settings_class: type[SettingsT], environment: Environment | None = None) -> SettingsT:
    """Make settings from an environment; as `settings_class()` does, which type checkers refuse for want of its fields.

    Args:
        settings_class: The class of a backend's settings.
        environment: The variables; None for those that `settings_class()` reads.

    Raises:
        InvalidSettings: Variables are absent or have a wrong value; all of them in one error.
    """
    with (environment or Environment.current()).activate():
        return settings_class()


def field_variables(settings_class: type[BackendSettings]) -> dict[str, tuple[str, ...]]:
    """Return the variables that each field is read from, upper case, the first of them the one to show.

    Args:
        settings_class: The class whose fields are asked for.
    """
    return {name: tuple(_variables(settings_class, name)) for name in settings_class.model_fields}


def _variables(settings_class: type[BaseSettings], name: str) -> Iterator[str]:
    field = settings_class.model_fields[name]
    alias = field.validation_alias
    if isinstance(alias, pydantic.AliasChoices):
        yield from (choice.upper() for choice in alias.choices if isinstance(choice, str))
    elif isinstance(alias, str):
        yield alias.upper()
    if not alias or settings_class.model_config.get("env_prefix_target") in ("alias", "all"):
        yield f"{settings_class.model_config.get('env_prefix', '')}{name}".upper()


def _all_variables(settings_class: type[BackendSettings]) -> Iterator[str]:
    yield f"{settings_class.model_config.get('env_prefix', '')}…"
    for variables in field_variables(settings_class).values():
        yield from variables


def _faults(
    settings_class: type[BackendSettings], error: pydantic.ValidationError, given: Mapping[str, Any]
) -> Iterator[Fault]:
    environment = Environment.current()
    for detail in error.errors(include_url=False, include_context=False, include_input=True):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        yield _fault(settings_class, environment, name, detail["msg"], detail["type"], detail["input"], given)


def _fault(
    settings_class: type[BackendSettings],
    environment: Environment,
    name: str,
    message: str,
    kind: str,
    value: object,
    given: Mapping[str, Any],
) -> Fault:
    by_variable = {variable: field for field in settings_class.model_fields for variable in _variables(settings_class, field)}
    field_name = name if name in settings_class.model_fields else by_variable.get(name.upper(), name)
    field = settings_class.model_fields.get(field_name)
    if field is None:  # the model as a whole, or an argument it does not know
        found = "there is no such setting" if name else "the settings do not go together"
        return Fault(name or settings_class.__name__, found, message.removeprefix("Value error, "))
    variables = list(_variables(settings_class, field_name))
    variable = environment.named(next(filter(environment.given_by, variables), variables[0]))
    shown = variable if name not in given and field_name not in given else f"{settings_class.__name__}({field_name}=…)"
    found = "not set" if kind == "missing" else _shown(value, is_secret=_is_secret(field.annotation))
    expected = message[:1].lower() + message[1:]
    if kind == "missing":
        expected = "a value"
    if field.description:
        expected = f"{expected} ({field.description})"
    return Fault(shown, found, expected, _renaming(variable, by_variable, environment) if kind == "missing" else "")


def _renaming(variable: str, known: Iterable[str], environment: Environment) -> str:
    """Say which variable that is set, and is no setting, may have been meant for one that is not."""
    taken = {name for setting in known for name in (setting, environment.variable(setting))}
    # 0.85 tells R2_BUKET_NAME (0.96) from DATABASE_TYPE, which is like DATABASE_URL (0.72).
    near = get_close_matches(variable, [name for name in environment if name not in taken], n=1, cutoff=0.85)
    return f"{near[0]} is set: rename it to {variable} if that is what was meant" if near else ""


def _is_secret(annotation: object) -> bool:
    return "Secret" in repr(annotation)


def _shown(value: object, *, is_secret: bool) -> str:
    if is_secret:
        return "a secret (not shown)"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
