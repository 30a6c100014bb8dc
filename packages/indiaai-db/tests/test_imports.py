"""What importing this package costs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import indiaai_db", ["sqlalchemy", "alembic", "aiosqlite", "asyncpg", "fastapi", "pytest", "pydantic"]),
        ("from indiaai_core import Platform; Platform().hooks", ["sqlalchemy", "aiosqlite", "asyncpg", "typer"]),
        ("import indiaai_db.sqlite", ["asyncpg", "alembic", "fastapi", "pytest"]),
        ("from indiaai_db import Base", ["asyncpg", "alembic", "aiosqlite", "fastapi"]),
        ("import indiaai_db.hooks", ["sqlalchemy", "typer", "alembic"]),
    ],
)
def test_only_what_is_used_is_imported(statement: str, absent: list[str]) -> None:
    """A fresh interpreter has loaded no driver, web framework or migration tool that nobody asked for."""
    program = f"{statement}\nimport sys\nprint([name for name in {absent} if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    """What the front door does not have it does not pretend to have."""
    import indiaai_db

    with pytest.raises(AttributeError, match="no attribute 'Bass'"):
        _ = indiaai_db.Bass
