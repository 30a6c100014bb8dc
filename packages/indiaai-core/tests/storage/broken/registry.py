"""Where the broken backends are entered; imported by each of their modules."""

from __future__ import annotations

from collections.abc import Callable

from storage.reference import MemoryStorageService

BROKEN: dict[str, type[MemoryStorageService]] = {}
"""The backends, each under the number of the promise that it breaks."""

Backend = type[MemoryStorageService]


def breaks(number: str) -> Callable[[Backend], Backend]:
    """Enter a backend under the promise that it breaks."""

    def enter(backend: Backend) -> Backend:
        assert number not in BROKEN
        BROKEN[number] = backend
        return backend

    return enter
