"""What the variables say: the process's environment over `.env`, read once; imported by the settings and the platform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from indiaai_core.errors import Fault, InvalidSettings

__all__ = ["Environment"]

_active: ContextVar[Environment | None] = ContextVar("indiaai_environment", default=None)


class Environment(Mapping[str, str]):
    """The variables as one platform, or one named instance of a service, sees them.

    Names are upper case: like pydantic-settings, indiaai does not tell `storage_type` from `STORAGE_TYPE`. An instance
    never changes, so any thread may share it.
    """

    def __init__(self, variables: Mapping[str, str], origins: Mapping[str, str], *, prefix: str = "") -> None:
        """Hold what was read; use `Environment.read` to read it."""
        self._variables = dict(variables)
        self._origins = dict(origins)
        self._prefix = prefix

    @classmethod
    def read(cls, overrides: Mapping[str, object] | None = None, *, env_file: str | os.PathLike[str] = ".env") -> Environment:
        """Read the variables: `overrides` first, then the process's environment, then the file.

        Args:
            overrides: Variables given in code; values become text.
            env_file: The dotenv file, relative to the working directory; one that is not there is no fault.

        Raises:
            InvalidSettings: The file is there and cannot be read.
        """
        variables: dict[str, str] = {}
        origins: dict[str, str] = {}
        layers: list[tuple[str, Mapping[str, object]]] = [
            (os.fspath(env_file), _read_env_file(os.fspath(env_file))),
            ("environment", os.environ),
            ("code", overrides or {}),
        ]
        for origin, values in layers:
            for name, value in values.items():
                variables[name.upper()] = str(value)
                origins[name.upper()] = origin
        return cls(variables, origins)

    @classmethod
    def current(cls) -> Environment:
        """Return the environment that settings are being made from, or read it where nobody chose one."""
        return _active.get() or cls.read()

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Make settings that are created inside the block read from this environment."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def for_instance(self, name: str | None) -> Environment:
        """Return the environment of a named instance: each variable with the prefix `<NAME>_` hides the bare one.

        Args:
            name: The instance's name; None for the main one.
        """
        if name is None:
            return self
        prefix = f"{name.upper().replace('-', '_')}_"
        own = {variable: variable.removeprefix(prefix) for variable in self._variables if variable.startswith(prefix)}
        return Environment(
            {**self._variables, **{bare: self._variables[variable] for variable, bare in own.items() if bare}},
            {**self._origins, **{bare: self._origins[variable] for variable, bare in own.items() if bare}},
            prefix=prefix,
        )

    @property
    def instance(self) -> str:
        """The named instance whose variables these are, lower case; empty for the main one."""
        return self._prefix.removesuffix("_").lower()

    def variable(self, name: str) -> str:
        """Return the variable that a person would set for `name` here: with the instance's prefix, if there is one."""
        return f"{self._prefix}{name.upper()}"

    def given_by(self, name: str) -> str | None:
        """Return the variable that gives `name` its value here: the instance's own, else the bare one, else None."""
        own = self.variable(name)
        return own if own in self else name.upper() if name in self else None

    def named(self, name: str) -> str:
        """Return the variable to name where the value of `name` is at fault: the one that gives it, else the one to set."""
        return self.given_by(name) or self.variable(name)

    def origin(self, name: str) -> str | None:
        """Return where a variable was read: `environment`, `code`, the dotenv file's name, or None if it is not set."""
        return self._origins.get(name.upper())

    def __getitem__(self, name: str) -> str:
        """Return a variable's value."""
        return self._variables[name.upper()]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the variables' names."""
        return iter(self._variables)

    def __len__(self) -> int:
        """Count the variables."""
        return len(self._variables)

    def __repr__(self) -> str:
        """Show how many variables there are, and never a value: many are secrets of somebody else."""
        return f"<Environment of {len(self)} variables>"


def _read_env_file(path: str) -> Mapping[str, object]:
    # A folder called .env is a virtual environment's habit and no fault of ours.
    if os.path.isdir(path):
        return {}
    try:
        with open(path, encoding="utf-8-sig") as file:  # pathlib takes 5 ms to import
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSettings(
            [
                Fault(
                    path, f"the file cannot be read ({reason})", "a readable file of NAME=value lines", f"mend or remove {path}"
                )
            ]
        ) from error
    from io import StringIO

    from dotenv import dotenv_values  # 26 ms: only for those who have the file

    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
