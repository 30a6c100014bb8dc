"""The front door: every name it promises, and what opening it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import indiaai_core


def test_every_promised_name_is_there() -> None:
    """`__all__` is what can be imported, the heavy names among them."""
    assert all(getattr(indiaai_core, name) is not None for name in indiaai_core.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """A misspelt name fails as it does in any module."""
    with pytest.raises(AttributeError, match="no attribute 'get_storage_servise'"):
        _ = indiaai_core.get_storage_servise


def test_importing_the_core_loads_nothing_heavy() -> None:
    """No SDK, no web framework, no test tool, and not what only some of its users need."""
    heavy = (
        "boto3 redis sqlalchemy fastapi starlette pytest hypothesis pydantic pydantic_settings typer asyncio importlib_metadata"
    )
    program = "import sys, indiaai_core; print([name for name in sys.argv[1:] if name in sys.modules])"

    run = subprocess.run(
        [sys.executable, "-c", program, *heavy.split()], capture_output=True, text=True, timeout=60, check=True
    )

    assert run.stdout.strip() == "[]"
