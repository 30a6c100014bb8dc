"""A stranger's layer: letters by pigeon, with a backend in memory and one with a setting."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from indiaai_core import (
    BackendSettings,
    BackendUnavailable,
    Fault,
    Layer,
    Service,
    SettingsConfigDict,
    Unsupported,
    get_service,
)
from indiaai_core.settings import load_settings

__all__ = ["LAYER", "FilePigeonService", "FileSettings", "LoftPigeonService", "PigeonService", "get_pigeon_service"]


class PigeonService(Service):
    """What every backend of the layer does."""

    @abstractmethod
    async def send(self, text: str) -> int:
        """Send a letter, and return how many were sent before."""

    async def recall(self) -> str:
        """Take the last letter back; a capability."""
        raise Unsupported(type(self).__name__, "recall")


class LoftPigeonService(PigeonService):
    """Letters in memory."""

    contract_version: ClassVar[int] = 1
    capabilities: ClassVar[frozenset[str]] = frozenset({"recall"})

    def __init__(self) -> None:
        """Begin with none."""
        self.letters: list[str] = []

    async def send(self, text: str) -> int:
        """Keep a letter."""
        self.letters.append(text)
        return len(self.letters) - 1

    async def recall(self) -> str:
        """Take the last letter back."""
        return self.letters.pop()


class FileSettings(BackendSettings):
    """Where letters are kept."""

    model_config = SettingsConfigDict(env_prefix="PIGEON_FILE_")

    path: Path = Field(description="the file that letters are appended to")


class FilePigeonService(PigeonService):
    """Letters in a file."""

    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[FileSettings]] = FileSettings

    def __init__(self, settings: FileSettings | None = None) -> None:
        """Hold the settings, or read them."""
        self.settings = settings or load_settings(FileSettings)

    async def send(self, text: str) -> int:
        """Append a letter."""
        try:
            with self.settings.path.open("a+", encoding="utf-8") as file:
                file.seek(0)
                count = len(file.readlines())
                file.write(f"{text}\n")
        except OSError as error:
            raise BackendUnavailable(f"The letter could not be written: {error.strerror}") from error
        return count

    async def check(self) -> None:
        """See that there is a folder for the file."""
        if not self.settings.path.parent.is_dir():
            raise BackendUnavailable(f"There is no folder {self.settings.path.parent}")

    async def caveats(self) -> Sequence[Fault]:
        """Tell that pigeons are slow."""
        return [Fault("PIGEON_FILE_PATH", "pigeons are slow", "patience")]


LAYER = Layer(
    name="pigeon",
    interface=PigeonService,
    default_backend="loft",
    contract_version=1,
    conformance="acme_pigeon.conformance:PigeonConformance",
)


def get_pigeon_service(name: str | None = None) -> PigeonService:
    """Return the current platform's service."""
    service: Any = get_service("pigeon", name)
    assert isinstance(service, PigeonService)
    return service
