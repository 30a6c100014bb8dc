"""The errors a caller may catch, imported by every other module of the core and by every plugin.

    IndiaAIError
    ├── ConfigurationError          the installation or the settings are wrong; a retry cannot help
    │   ├── UnknownLayer            no installed distribution declares the layer
    │   ├── UnknownBackend          nothing installed answers to the name
    │   │   └── BackendNotInstalled …and a distribution that would can be named
    │   ├── InvalidSettings         variables that are absent or have a wrong value
    │   ├── ContractMismatch        backend and core disagree on the layer's contract
    │   ├── PluginConflict          two distributions claim one name
    │   └── PluginLoadError         the plugin is installed but does not load
    ├── BackendUnavailable          the service behind the backend does not answer; a retry may help
    ├── Unsupported                 the backend lacks a capability
    ├── StorageError
    │   ├── ObjectNotFound
    │   ├── ObjectExists
    │   ├── InvalidKey              (also a ValueError)
    │   └── InvalidRequest          (also a ValueError)
    └── QueueError
        ├── TaskNotFound
        ├── QueueFull
        └── InvalidTask             (also a ValueError)

Whether a retry may help is the class: `BackendUnavailable` and `QueueFull` pass, the others stay.
A client library's own exception is never raised bare; it is the `__cause__`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BackendNotInstalled",
    "BackendUnavailable",
    "ConfigurationError",
    "ContractMismatch",
    "Fault",
    "IndiaAIError",
    "InvalidKey",
    "InvalidRequest",
    "InvalidSettings",
    "InvalidTask",
    "ObjectExists",
    "ObjectNotFound",
    "PluginConflict",
    "PluginLoadError",
    "QueueError",
    "QueueFull",
    "StorageError",
    "TaskNotFound",
    "UnknownBackend",
    "UnknownLayer",
    "Unsupported",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the configuration.

    Attributes:
        variable: The environment variable at fault, or the name of what is.
        found: What was found, already free of secrets.
        expected: What would be right.
        remedy: The command or the change that mends it; empty where `expected` says enough.
    """

    variable: str
    found: str
    expected: str
    remedy: str = ""

    def __str__(self) -> str:
        """Render the fault as one line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.variable}: {self.found}, expected {self.expected}{remedy}"


class IndiaAIError(Exception):
    """The root of every error that indiaai raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by state, so that an error with fields crosses a process boundary whole."""
        return _revive, (type(self), self.args, self.__dict__)


def _revive(cls: type[IndiaAIError], args: tuple[Any, ...], state: dict[str, Any]) -> IndiaAIError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(IndiaAIError):
    """The installation or the settings are wrong, and a retry cannot help.

    Attributes:
        faults: Every single thing that is wrong, in the order it was found.
    """

    def __init__(self, message: str, *, faults: Iterable[Fault] = ()) -> None:
        """Keep the message for people and the faults for programs."""
        super().__init__(message)
        self.faults = tuple(faults)


class UnknownLayer(ConfigurationError):
    """No installed distribution declares the layer that was asked for."""

    def __init__(self, layer: str, *, installed: Sequence[str], nearest: str | None = None) -> None:
        """Name the layers that are installed and the one that was probably meant."""
        command = f"pip install indiaai-{layer.replace('_', '-')}"
        hint = f"did you mean {nearest!r}? " if nearest else ""
        super().__init__(
            f"No layer {layer!r} is installed. {hint}Installed layers: {_names(installed)}. "
            f"If a plugin brings it, install that, for example: {command}",
            faults=[Fault(layer, "no such layer", f"one of {_names(installed)}", command)],
        )
        self.layer = layer
        self.installed = tuple(installed)
        self.nearest = nearest


class UnknownBackend(ConfigurationError):
    """Nothing that is installed answers to the name that was selected.

    Attributes:
        layer: The layer whose backend was selected.
        backend: The name as it was found.
        installed: The names that are installed for this layer, sorted.
        nearest: The installed name most like it, if one is.
        variable: The variable that selected it.
    """

    def __init__(
        self,
        layer: str,
        backend: str,
        *,
        variable: str,
        installed: Sequence[str] = (),
        nearest: str | None = None,
        advice: str = "",
    ) -> None:
        """Name what was selected, by which variable, and what could be."""
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        remedy = advice or f"set {variable} to one of them"
        super().__init__(
            f"{variable}={backend!r}: no such {layer} backend is installed.{hint} "
            f"Installed: {_names(installed)}. {_sentence(remedy)}",
            faults=[
                Fault(
                    variable,
                    f"{backend!r} is not installed" + (f" (did you mean {nearest!r}?)" if nearest else ""),
                    f"one of {_names(installed)}",
                    remedy,
                )
            ],
        )
        self.layer = layer
        self.backend = backend
        self.installed = tuple(installed)
        self.nearest = nearest
        self.variable = variable


class BackendNotInstalled(UnknownBackend):
    """The selected backend is not installed, and its distribution can be named.

    Attributes:
        distribution: The distribution that would bring it, by the naming rule.
        command: The line that installs it.
    """

    def __init__(
        self, layer: str, backend: str, *, variable: str, installed: Sequence[str], nearest: str | None = None
    ) -> None:
        """Work out the distribution's name from the rule `indiaai-<layer>-<backend>`."""
        distribution = f"indiaai-{layer}-{backend}".replace("_", "-")
        command = f"pip install {distribution}"
        super().__init__(
            layer, backend, variable=variable, installed=installed, nearest=nearest, advice=f"to install it: {command}"
        )
        self.distribution = distribution
        self.command = command


class InvalidSettings(ConfigurationError):
    """Settings are absent or have a wrong value; `faults` names every one of them."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """List the faults, one a line."""
        found = tuple(faults)
        super().__init__("Invalid settings:" + "".join(f"\n  {fault}" for fault in found), faults=found)


class ContractMismatch(ConfigurationError):
    """A plugin was built for another version of the contract than the core has."""

    def __init__(self, message: str, *, subject: str, found: str, expected: str, remedy: str) -> None:
        """Say who is too old and how to upgrade it."""
        super().__init__(f"{message} {_sentence(remedy)}", faults=[Fault(subject, found, expected, remedy)])


class PluginConflict(ConfigurationError):
    """Two distributions claim one name.

    Attributes:
        name: The name that is claimed.
        distributions: The distributions that claim it, sorted.
    """

    def __init__(self, group: str, name: str, *, distributions: Sequence[str], variable: str) -> None:
        """Name both sides and the way to pin one."""
        pin = f"{variable}={name}@{distributions[0]}"
        remedy = f"uninstall one, or pin one: {pin}"
        super().__init__(
            f"{name!r} in {group} is claimed by {' and '.join(distributions)}. {_sentence(remedy)}",
            faults=[Fault(variable, f"{name!r} is claimed by {' and '.join(distributions)}", "one claimant", remedy)],
        )
        self.name = name
        self.distributions = tuple(distributions)


class PluginLoadError(ConfigurationError):
    """A plugin is installed but cannot be used: its module raises, or it is not what its group asks for.

    Attributes:
        distribution: The distribution that brings it.
        extra: The distribution's extra that brings what its module could not import; None where no extra does.
    """

    def __init__(self, subject: str, *, distribution: str, reason: str, extra: str | None = None) -> None:
        """Name the distribution, so that nobody installs again what is there."""
        remedy = f"repair or upgrade {distribution} (pip install --upgrade --force-reinstall {distribution})"
        if extra:
            remedy = f'install what it needs: pip install "{distribution}[{extra}]"'
        super().__init__(
            f"{subject} is installed (from {distribution}) but does not load: {reason}. {_sentence(remedy)}",
            faults=[Fault(subject, f"does not load: {reason}", f"a working {distribution}", remedy)],
        )
        self.distribution = distribution
        self.extra = extra


class BackendUnavailable(IndiaAIError):
    """What the backend stands on does not answer or refuses for now; a retry may help.

    Attributes:
        retry_after: Seconds after which a retry makes sense, where the backend knows.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Say what did not answer and what was tried."""
        super().__init__(message)
        self.retry_after = retry_after


class Unsupported(IndiaAIError):
    """The backend does not have the capability that the call needs.

    Attributes:
        backend: The backend's class name.
        capability: The capability it does not declare.
    """

    def __init__(self, backend: str, capability: str) -> None:
        """Name the capability, and where an application can ask for it at start."""
        super().__init__(
            f"{backend} does not support {capability!r}. Choose a backend that declares it; "
            f"Platform(requires=…) makes the lack an error at start."
        )
        self.backend = backend
        self.capability = capability


class StorageError(IndiaAIError):
    """A storage call failed for a reason of its own."""


class ObjectNotFound(StorageError):
    """There is no object under the key.

    Attributes:
        key: The key, normalised.
    """

    def __init__(self, key: str) -> None:
        """Name the key."""
        super().__init__(f"There is no object under the key {key!r}.")
        self.key = key


class ObjectExists(StorageError):
    """`if_absent` was asked for and there is an object under the key.

    Attributes:
        key: The key, normalised.
    """

    def __init__(self, key: str) -> None:
        """Name the key."""
        super().__init__(f"There is an object under the key {key!r} already.")
        self.key = key


class InvalidKey(StorageError, ValueError):
    """The key is not one that every backend can hold.

    Attributes:
        key: The key as it was given.
    """

    def __init__(self, key: object, reason: str) -> None:
        """Name the key, shortened, and the rule it breaks."""
        shown = repr(key)
        shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
        super().__init__(f"{shown} cannot be an object's key: {reason}.")
        self.key = key


class InvalidRequest(StorageError, ValueError):
    """An argument other than the key is outside of its documented limits."""


class QueueError(IndiaAIError):
    """A queue call failed for a reason of its own."""


class TaskNotFound(QueueError):
    """There is no task with the id: it never was, or its record has expired.

    Attributes:
        task_id: The id that was asked for.
    """

    def __init__(self, task_id: str) -> None:
        """Name the id."""
        super().__init__(f"There is no task with the id {task_id!r}: it never was, or its record has expired.")
        self.task_id = task_id


class QueueFull(QueueError):
    """The queue holds as many tasks as its settings allow; a retry may help once workers catch up."""


class InvalidTask(QueueError, ValueError):
    """The task cannot be queued: its name, data, delay or limits are not what a queue can hold."""


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
