"""The variables that select a folder, and a bucket of an S3 server of the tests'; imported by tests that move objects."""

from __future__ import annotations

from pathlib import Path

__all__ = ["local", "r2"]


def local(folder: Path, prefix: str = "") -> dict[str, str]:
    """Return the variables of a folder, for the instance whose prefix is given."""
    return {f"{prefix}STORAGE_TYPE": "local", f"{prefix}LOCAL_STORAGE_PATH": str(folder / "storage")}


def r2(endpoint: str, prefix: str = "") -> dict[str, str]:
    """Return the variables of the bucket `documents`, for the instance whose prefix is given."""
    keys = {"R2_ACCESS_KEY_ID": "testing", "R2_SECRET_ACCESS_KEY": "testing", "R2_BUCKET_NAME": "documents"}
    variables = {"STORAGE_TYPE": "r2", "R2_ENDPOINT_URL": endpoint, **keys}
    return {f"{prefix}{name}": value for name, value in variables.items()}
