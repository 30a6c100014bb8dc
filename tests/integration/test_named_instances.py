"""Errors of named instances: each names the variable that its operator set, or would set."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from indiaai_core import IndiaAIError, Platform

pytestmark = pytest.mark.anyio


def closed_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wrong(backend: str, folder: Path) -> tuple[str, str, str]:
    """Return a backend's layer, a variable, and a value of it with which no call can be served."""
    (folder / "file").write_text("")
    return {
        "local": ("storage", "LOCAL_STORAGE_PATH", f"{folder / 'file'}"),
        "sqlite": ("database", "SQLITE_DB_PATH", f"{folder}"),
        "redis": ("queue", "REDIS_URL", f"redis://127.0.0.1:{closed_port()}/0"),
        "postgresql": ("database", "DATABASE_URL", f"postgresql://127.0.0.1:{closed_port()}/db?sslmode=odd"),
        "r2": ("storage", "R2_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}"),
    }[backend]


async def call(layer: str, service: Any) -> None:
    """Make an application's call."""
    if layer == "database":
        async with service.session() as session:
            await session.connection()
    elif layer == "queue":
        await service.enqueue("count", {})
    else:
        await service.upload("a", b"b")


@pytest.mark.parametrize("prefix", ["ARCHIVE_", ""])
@pytest.mark.parametrize("backend", ["local", "sqlite", "redis", "postgresql", "r2"])
async def test_a_call_s_error_names_the_variable_that_was_set(tmp_path: Path, backend: str, prefix: str) -> None:
    """With the prefix where the instance's own gave the value, bare where it fell back to that."""
    layer, variable, value = wrong(backend, tmp_path)
    patience = {"REDIS_RETRY_SECONDS": 0, "R2_RETRY_SECONDS": 0}
    bucket = {"R2_BUCKET_NAME": "documents", "R2_ACCESS_KEY_ID": "testing", "R2_SECRET_ACCESS_KEY": "testing"}
    selected = {f"ARCHIVE_{layer.upper()}_TYPE": backend, f"{prefix}{variable}": value}
    platform = Platform({**patience, **bucket, **selected})

    try:
        with pytest.raises(IndiaAIError) as raised:
            await call(layer, platform.get_service(layer, "archive"))
    finally:
        await platform.aclose()

    assert f"{prefix}{variable}" in str(raised.value)
    assert bool(prefix) == (f"ARCHIVE_{variable}" in str(raised.value))
