"""What an operator may set about this application; imported where a setting is used."""

from __future__ import annotations

from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings", "settings"]


class Settings(BaseSettings):
    """Read from the environment, else from `.env` in the working directory."""

    model_config = SettingsConfigDict(env_prefix="INTAKE_", env_file=".env", extra="ignore", frozen=True)

    max_upload_bytes: int = Field(default=25_000_000, ge=1, description="The largest file that is taken.")
    max_upload_seconds: float = Field(default=3600, gt=0, description="The longest that one upload may take.")
    link_seconds: int = Field(default=3600, ge=1, le=604_800, description="How long a link to a file works.")


@cache
def settings() -> Settings:
    """Return the settings, read at the first call."""
    return Settings()
