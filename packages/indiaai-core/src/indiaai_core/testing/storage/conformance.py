"""The whole suite; imported by plugin authors as `indiaai_core.testing.StorageConformance`."""

from __future__ import annotations

from typing import ClassVar, cast

import pytest

from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import Conformance
from indiaai_core.testing.storage.close import ClosePromises
from indiaai_core.testing.storage.concurrency import ConcurrencyPromises
from indiaai_core.testing.storage.conditional import ConditionalPromises
from indiaai_core.testing.storage.copy import CopyPromises
from indiaai_core.testing.storage.delete import DeletePromises
from indiaai_core.testing.storage.errors import ErrorPromises
from indiaai_core.testing.storage.fetching import Fetch
from indiaai_core.testing.storage.headers import HeaderPromises
from indiaai_core.testing.storage.keys import KeyPromises
from indiaai_core.testing.storage.list import ListPromises
from indiaai_core.testing.storage.metadata import MetadataPromises
from indiaai_core.testing.storage.model import ModelPromises
from indiaai_core.testing.storage.ranges import RangePromises
from indiaai_core.testing.storage.read import ReadPromises
from indiaai_core.testing.storage.streams import StreamPromises
from indiaai_core.testing.storage.upload_urls import UploadUrlPromises
from indiaai_core.testing.storage.urls import UrlPromises
from indiaai_core.testing.storage.write import WritePromises

__all__ = ["StorageConformance", "outer_fixture"]


class StorageConformance(
    WritePromises,
    ReadPromises,
    RangePromises,
    StreamPromises,
    UrlPromises,
    UploadUrlPromises,
    ListPromises,
    DeletePromises,
    CopyPromises,
    ConditionalPromises,
    KeyPromises,
    MetadataPromises,
    HeaderPromises,
    ConcurrencyPromises,
    ErrorPromises,
    ModelPromises,
    ClosePromises,
    Conformance,
):
    """What every storage backend does.

    Subclass it in a test module and give the async fixture `service`: an open service on an empty store. A promise is
    tested as far as the capabilities reach that the backend declares; of one that it does not, that it says so.

        class TestLocalStorage(StorageConformance):
            @pytest.fixture
            async def service(self, tmp_path): ...

    Two more fixtures widen what is tested: `second_service`, another service on the same store, for what one process
    shows another; and `http`, a `Fetch`, for what URLs do when they are asked for: without it only their form is. Pytest's
    report lists at its end what was not tried.
    """

    optional_fixtures: ClassVar[tuple[str, ...]] = ("second_service", "http")

    @pytest.fixture
    def second_service(self, request: pytest.FixtureRequest, service: StorageService) -> StorageService:
        """Where the author gives no second service on the store, the first stands in."""
        return cast(StorageService, outer_fixture(request, "second_service", default=service))

    @pytest.fixture
    def http(self, request: pytest.FixtureRequest) -> Fetch | None:
        """Where the author gives none, URLs are not asked for."""
        return cast("Fetch | None", outer_fixture(request, "http", default=None))


def outer_fixture(request: pytest.FixtureRequest, name: str, *, default: object) -> object:
    """Return the author's own fixture: a class's hides the one of that name in the module or conftest, unless it asks.

    Args:
        request: The request of the fixture that hides it.
        name: The fixture's name.
        default: What to return where the author wrote none.
    """
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError as error:
        if error.argname != name:
            raise
        return default
