"""Changes of an application's Python files; imported by the worker command for `--reload`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from indiaai_core.errors import ConfigurationError, Fault

__all__ = ["changes", "require_watcher"]


def require_watcher() -> None:
    """Find out whether files can be watched.

    Raises:
        ConfigurationError: The library for it is not installed.
    """
    if importlib.util.find_spec("watchfiles") is None:
        command = "pip install 'indiaai-core[reload]'"
        raise ConfigurationError(
            f"--reload needs the library watchfiles, which is not installed. To install it: {command}",
            faults=[Fault("watchfiles", "it is not installed", "the extra indiaai-core[reload]", command)],
        )


async def changes(folder: Path) -> AsyncIterator[str]:
    """Give the Python files that changed under a folder, each time that some did, as a text to show.

    What installers and version control write is left out: hidden folders of tools, and this virtual environment.
    """
    from watchfiles import PythonFilter, awatch

    async for found in awatch(folder, watch_filter=PythonFilter(ignore_paths=[sys.prefix])):
        names = sorted({Path(path).relative_to(folder).as_posix() for _, path in found})
        yield ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
