"""The settings of the backend `local`; imported by its service and by whoever makes one by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from indiaai_core.settings import BackendSettings, SettingsConfigDict

__all__ = ["LocalSettings"]


def _refuse_blank(value: object) -> object:
    # An empty variable would otherwise be the working directory.
    if isinstance(value, str) and not value.strip():
        raise ValueError("a path is not empty")
    return value


def _check_public_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("a URL starts with http:// or https://")
    return value.rstrip("/")


class LocalSettings(BackendSettings):
    """Where objects are kept and how their links are signed; read from `LOCAL_STORAGE_*`."""

    model_config = SettingsConfigDict(env_prefix="LOCAL_STORAGE_")

    path: Annotated[Path, BeforeValidator(_refuse_blank)] = Field(
        default=Path("data/storage"), description="the directory that holds the objects; made at first use"
    )
    fsync: bool = Field(
        default=True, description="wait for the disk before a call returns; off, a power cut may lose the last writes"
    )
    url_secret: SecretStr | None = Field(
        default=None, min_length=16, description="signs links; the same on every host; unset: made once, kept in the directory"
    )
    public_url: Annotated[str, AfterValidator(_check_public_url)] = Field(
        default="",
        description="scheme, host and root path that links start with; unset: those of the request that is being served",
    )
    max_upload_bytes: int = Field(default=5 * 1024**3, ge=1, description="the most bytes that a PUT to a signed link may store")
