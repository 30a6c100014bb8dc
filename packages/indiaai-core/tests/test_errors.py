"""The error tree: what each error says, carries and survives."""

from __future__ import annotations

import pickle

import pytest

from indiaai_core import errors
from indiaai_core.errors import (
    BackendNotInstalled,
    BackendUnavailable,
    ConfigurationError,
    ContractMismatch,
    Fault,
    IndiaAIError,
    InvalidKey,
    InvalidSettings,
    ObjectExists,
    ObjectNotFound,
    PluginConflict,
    PluginLoadError,
    TaskNotFound,
    UnknownBackend,
    UnknownLayer,
    Unsupported,
)

EXAMPLES: list[IndiaAIError] = [
    ConfigurationError("wrong", faults=[Fault("A", "b", "c", "d")]),
    UnknownLayer("cahce", installed=["cache"], nearest="cache"),
    UnknownBackend("storage", "r2!", variable="STORAGE_TYPE"),
    BackendNotInstalled("storage", "r2", variable="STORAGE_TYPE", installed=["local"], nearest=None),
    InvalidSettings([Fault("A", "b", "c")]),
    ContractMismatch("Too old.", subject="acme", found="1", expected="2", remedy="upgrade it"),
    PluginConflict("indiaai.storage", "r2", distributions=["a", "b"], variable="STORAGE_TYPE"),
    PluginLoadError("The backend", distribution="acme", reason="boom"),
    BackendUnavailable("gone", retry_after=2.5),
    Unsupported("DictStorage", "list"),
    ObjectNotFound("a"),
    ObjectExists("a"),
    InvalidKey("..", "it is bad"),
    TaskNotFound("7"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_message_and_fields(error: IndiaAIError) -> None:
    """An error that crosses a process boundary arrives with its class, its message and its fields."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_public_error_descends_from_the_root() -> None:
    """`except IndiaAIError` catches everything the product raises."""
    public = [getattr(errors, name) for name in errors.__all__ if name != "Fault"]

    assert all(issubclass(error, IndiaAIError) for error in public)


def test_a_missing_plugin_is_named_with_the_line_that_installs_it() -> None:
    """The distribution's name follows from layer and backend by the naming rule."""
    error = BackendNotInstalled("storage", "r2", variable="STORAGE_TYPE", installed=["local", "s3"], nearest="s3")

    assert error.command == "pip install indiaai-storage-r2"
    assert error.distribution == "indiaai-storage-r2"
    assert "pip install indiaai-storage-r2" in str(error)
    assert "local, s3" in str(error)
    assert "Did you mean 's3'?" in str(error)


def test_nothing_installed_is_said_in_words() -> None:
    """A layer without any backend gives a sentence and not an empty list."""
    error = BackendNotInstalled("ocr", "fast", variable="OCR_TYPE", installed=[])

    assert "Installed: none." in str(error)


def test_a_fault_is_one_line_with_its_remedy() -> None:
    """A fault names the variable, what was found, what is expected, and what mends it if something does."""
    assert str(Fault("A", "'x' found", "a number", "set it")) == "A: 'x' found, expected a number; set it"
    assert str(Fault("A", "not set", "a value")) == "A: not set, expected a value"


def test_a_long_key_is_shortened_in_the_message() -> None:
    """A hostile key of megabytes does not fill the log."""
    error = InvalidKey("x" * 100_000, "it is long")

    assert len(str(error)) < 250
    assert error.key == "x" * 100_000
