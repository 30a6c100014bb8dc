"""A backend need not write down what it cannot do."""

from __future__ import annotations

import pytest

from indiaai_core.errors import Unsupported
from indiaai_core.storage import FileData, StorageService
from indiaai_core.storage.options import OPTIONS
from indiaai_core.wrappers import observe
from storage.reference import MemoryStorageService, MinimalStorageService

pytestmark = pytest.mark.anyio


class WrittenBefore(MinimalStorageService):
    """A backend that was written when `upload` took one option."""

    capabilities = frozenset({"if_absent"})

    async def upload(  # type: ignore[override] # what is tested
        self,
        file_key: str,
        file_data: FileData,
        content_type: str = "application/octet-stream",
        *,
        if_absent: bool = False,
    ) -> str:
        """Store an object."""
        return f"{if_absent} {await super().upload(file_key, file_data, content_type)}"


@pytest.mark.parametrize(("method", "option"), [(method, option) for method, options in OPTIONS.items() for option in options])
async def test_an_option_that_is_not_taken_is_unsupported(method: str, option: str) -> None:
    """The refusal names the backend and the capability, as if the backend had raised it."""
    service = MinimalStorageService({"key": b"x"})
    arguments = {"upload": ("key", b"changed"), "get_url": ("key",)}[method]

    with pytest.raises(Unsupported) as refusal:
        await getattr(service, method)(*arguments, **{option: "asked for"})

    assert (refusal.value.backend, refusal.value.capability) == ("MinimalStorageService", option)
    assert service.objects == {"key": b"x"}


async def test_a_wrapper_in_front_refuses_nothing_by_itself() -> None:
    """Observed or not, a backend that lacks an option says so."""
    heard: list[str] = []
    observed = observe(
        MinimalStorageService(), interface=StorageService, observer=lambda name, _time, _error: heard.append(name)
    )

    with pytest.raises(Unsupported, match="metadata"):
        await observed.upload("key", b"x", metadata={"a": "b"})
    await observed.upload("key", b"x", if_absent=False)

    assert heard == ["upload", "upload"]


async def test_an_option_that_asks_for_nothing_is_dropped() -> None:
    """None, False and an empty value are no request."""
    service = MinimalStorageService()

    await service.upload("key", b"x", if_absent=False, metadata={}, cache_control=None, content_disposition="")  # type: ignore[call-arg] # likewise

    assert service.objects == {"key": b"x"}


async def test_an_older_backend_goes_on_working() -> None:
    """It takes the options that it knows, and refuses the newer ones."""
    service = WrittenBefore()

    assert await service.upload("key", b"x", if_absent=True) == "True minimal:key"
    with pytest.raises(Unsupported, match="cache_control"):
        await service.upload("key", b"x", cache_control="no-store")  # type: ignore[call-arg] # what is tested


def test_a_method_that_takes_all_of_them_is_left_alone() -> None:
    """Nothing stands before a method to which nothing lacks."""
    assert not hasattr(MemoryStorageService.upload, "__wrapped__")
    assert not hasattr(MemoryStorageService.get_url, "__wrapped__")


def test_the_interface_has_every_option() -> None:
    """Each option is a keyword of the interface's method, None or False by default, and a capability in its docs."""
    for method, options in OPTIONS.items():
        defaults = getattr(StorageService, method).__kwdefaults__
        assert set(options) == set(defaults)
        assert not any(defaults.values())
        assert all(f"`{option}`" in (StorageService.__doc__ or "") for option in options)
