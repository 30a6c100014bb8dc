"""The layer's suite, and what runs it on both backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme_pigeon import FilePigeonService, FileSettings, LoftPigeonService, PigeonService
from indiaai_core.testing import Conformance, promise

pytestmark = pytest.mark.anyio


class PigeonConformance(Conformance):
    """Subclass it, and give the fixture `service`: a service that has sent nothing."""

    @promise("P01", "`send` returns how many letters were sent before.")
    async def test_send_counts(self, service: PigeonService) -> None:
        """Of letters in any script."""
        assert [await service.send("नमस्ते"), await service.send("b")] == [0, 1]

    @promise("P02", "`recall` takes the last letter back.", needs="recall")
    async def test_recall_takes_the_last(self, service: PigeonService) -> None:
        """And no other."""
        await service.send("a")

        assert await service.recall() == "a"


class TestLoft(PigeonConformance):
    """In memory."""

    @pytest.fixture
    def service(self) -> LoftPigeonService:
        """A new loft."""
        return LoftPigeonService()


class TestFile(PigeonConformance):
    """In a file."""

    @pytest.fixture
    def service(self, tmp_path: Path) -> FilePigeonService:
        """A new file."""
        return FilePigeonService(FileSettings(path=tmp_path / "letters"))
