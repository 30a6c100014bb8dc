"""Reads botocore's description of S3 without holding up other threads; imported where boto3's client is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

__all__ = ["model_loader"]


@cache
def model_loader() -> Loader:
    """Return the loader that all clients share: it keeps what it has read, so that only the first one takes long."""
    loader = Loader()
    loader.file_loader = _FileLoader()
    return loader


class _FileLoader(JSONFileLoader):
    """Gives plain dicts, whose leaves the garbage collector does not walk through again and again.

    Ordered ones take as long to parse, and each full collection then stops all threads for 30 ms longer.
    """

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        path = Path(full_path)
        if not path.is_file():
            return None
        with open_method(full_path, "rb") as file:
            content = json.loads(file.read(), object_hook=_give_way)
        if path.name == "endpoints.json":
            _keep_s3(content)
        return content


def _give_way(pairs: dict[str, Any]) -> dict[str, Any]:
    # The parser is C and keeps the interpreter's lock to its end; between two functions of Python another thread may go on.
    return pairs


def _keep_s3(content: dict[str, Any]) -> None:
    # Addresses of 300 services in 30 regions, four fifths of all that the client would keep in memory.
    for partition in content["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in ("s3",) if name in services}
