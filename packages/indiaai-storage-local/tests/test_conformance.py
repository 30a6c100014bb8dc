"""The backend keeps every promise of its layer."""

from __future__ import annotations

from indiaai_core.testing import StorageConformance


class TestLocalStorage(StorageConformance):
    """The fixtures `service`, `second_service` and `http` are those of this folder."""
