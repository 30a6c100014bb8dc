"""The settings of the backend `sqlite`; imported by its service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from indiaai_core.environment import Environment
from indiaai_core.settings import BackendSettings, SettingsConfigDict

__all__ = ["SqliteSettings"]


def _is_a_file(path: Path) -> Path:
    if ":memory:" in str(path) or str(path).startswith(("file:", "sqlite:")):
        raise ValueError(
            "must be the path of a file: a database in memory has no WAL and is lost with its last connection; "
            "for tests take a file in a temporary folder"
        )
    return path.expanduser()


class SqliteSettings(BackendSettings):
    """Where the database is, and how it is kept."""

    model_config = SettingsConfigDict(env_prefix="SQLITE_")

    db_path: Annotated[
        Path,
        AfterValidator(_is_a_file),
        Field(description="path of the database file on a local disk; it and its folder are made at first use"),
    ] = Path("data/indiaai.db")
    synchronous: Literal["NORMAL", "FULL"] = Field(
        default="NORMAL",
        description="NORMAL: a power cut may lose the last commits, a crash of the process loses none; FULL: neither does",
    )
    busy_timeout_seconds: float = Field(
        default=5.0, gt=0, le=600, description="how long a transaction waits for another one that writes, in seconds"
    )
    readers: int = Field(
        default=4, ge=1, le=64, description="the most read-only sessions at a time in one event loop; each is a thread"
    )

    _instance: str = PrivateAttr(default_factory=lambda: Environment.current().instance)

    @property
    def instance(self) -> str:
        """The named instance that the settings were made for; empty for the main one."""
        return self._instance
