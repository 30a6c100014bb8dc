"""What a wrapper needs of libraries that the core does not bring; imported by the wrappers beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.layers import Layer

__all__ = ["needing"]


@contextmanager
def needing(extra: str, *, layer: Layer, environment: Environment) -> Iterator[None]:
    """Say how to install what the block fails to import.

    Args:
        extra: The core's extra that brings it; also the wrapper's name.
        layer: The layer whose variable names the wrapper.
        environment: The variables as the instance sees them.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        variable = environment.named(layer.wrappers_variable)
        command = f'pip install "indiaai-core[{extra}]"'
        raise ConfigurationError(
            f"{variable} names the wrapper {extra!r}, which needs {error.name}. To install it: {command}.",
            faults=[Fault(variable, f"{extra!r} needs {error.name}", "it is installed", command)],
        ) from error
