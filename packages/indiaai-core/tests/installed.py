"""Fake installed distributions: folders with metadata and modules, put on the path for one test."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from indiaai_core.discovery import refresh

CORE_VERSION = "0.1.0"


class SitePackages:
    """A folder on the path into which a test puts distributions; what it imported is forgotten at the end."""

    def __init__(self, folder: Path) -> None:
        """Use an empty folder."""
        self.folder = folder
        self._modules: list[str] = []

    def install(
        self,
        name: str,
        *,
        entry_points: str = "",
        modules: dict[str, str] | None = None,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        """Write a distribution's modules and metadata, and return its metadata folder."""
        for module, source in (modules or {}).items():
            (self.folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
            self._modules.append(module)
        metadata = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Requires-Dist: {need}" for need in requires),
        ]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if entry_points:
            (metadata / "entry_points.txt").write_text(textwrap.dedent(entry_points), encoding="utf-8")
        refresh()
        return metadata

    def backend(
        self, name: str, *, layer: str = "storage", distribution: str = "", source: str = "", version: str = "1.0"
    ) -> Path:
        """Install a backend that keeps nothing, or the module given, as a stranger's distribution."""
        distribution = distribution or f"acme-{layer}-{name}"
        module = f"{distribution.replace('-', '_')}_module"
        return self.install(
            distribution,
            version=version,
            entry_points=f"[indiaai.{layer}]\n{name} = {module}:Backend\n",
            modules={module: source or DICT_STORAGE},
        )

    def close(self) -> None:
        """Take the modules out of the interpreter again."""
        for module in self._modules:
            sys.modules.pop(module, None)


DICT_STORAGE = """
    from indiaai_core import ObjectNotFound, StorageService
    from indiaai_core.storage import normalize_key

    class Backend(StorageService):
        def __init__(self):
            self.objects = {}
            self.is_closed = False

        async def upload(self, file_key, file_data, content_type="", *, if_absent=False, metadata=None):
            self.objects[normalize_key(file_key)] = bytes(file_data)
            return f"dict:{file_key}"

        async def download(self, file_key):
            try:
                return self.objects[normalize_key(file_key)]
            except KeyError:
                raise ObjectNotFound(file_key) from None

        async def get_url(self, file_key, expires_in=3600):
            return f"dict:{normalize_key(file_key)}"

        async def delete(self, file_key):
            return self.objects.pop(normalize_key(file_key), None) is not None

        async def aclose(self):
            self.is_closed = True
"""
"""The smallest storage backend: four methods, and it says when it was closed."""

LAYERS = """
    [indiaai.layers]
    storage = indiaai_core.storage:LAYER
    queue = indiaai_core.queue:LAYER
"""
"""What the core's own distribution registers."""

SETTLED = """
    import indiaai_core as core

    class Settings(core.BackendSettings):
        model_config = core.SettingsConfigDict(env_prefix="ACME_")
        url: str

    class Backend(Backend):
        settings_class = Settings

        def __init__(self, settings):
            super().__init__()

        async def check(self):
            raise core.InvalidSettings([core.Fault("ACME_URL", "forgets", "one that keeps", "mend ACME_URL or STORAGE_TYPE")])
"""
"""What follows `DICT_STORAGE` to give it a setting, with which it never serves."""
