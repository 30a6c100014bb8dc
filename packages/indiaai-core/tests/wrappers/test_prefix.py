"""The wrapper `prefix`: a tenant sees its own objects, and cannot reach another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from indiaai_core import (
    ConfigurationError,
    InvalidKey,
    InvalidSettings,
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    StorageService,
)
from indiaai_core.storage import normalize_prefix
from indiaai_core.wrappers.prefix import prefix, with_prefix
from wrapper_fakes import wrap

pytestmark = pytest.mark.anyio


class DictStorage(StorageService):
    """Objects in a dict, listed by a plain method that returns an iterator, as a stranger may write it."""

    capabilities = frozenset({"list", "stat", "if_absent"})

    def __init__(self) -> None:
        """Begin empty."""
        self.objects: dict[str, bytes] = {}

    async def upload(self, file_key: str, file_data: Any, content_type: str = "a/b", *, if_absent: bool = False) -> str:  # type: ignore[override] # a stranger's
        """Keep it."""
        if if_absent and file_key in self.objects:
            raise ObjectExists(file_key)
        is_whole = isinstance(file_data, bytes)
        self.objects[file_key] = file_data if is_whole else b"".join([chunk async for chunk in file_data])
        return f"dict:{file_key}"

    async def download(self, file_key: str) -> bytes:
        """Give it back."""
        if file_key not in self.objects:
            raise ObjectNotFound(file_key)
        return self.objects[file_key]

    async def get_url(self, file_key: str, expires_in: int = 3600, **_: Any) -> str:
        """Give its address."""
        return f"dict:{file_key}"

    async def delete(self, file_key: str) -> bool:
        """Forget it."""
        return self.objects.pop(file_key, None) is not None

    async def stat(self, file_key: str) -> ObjectInfo:
        """Tell of it."""
        return ObjectInfo(file_key, len(await self.download(file_key)), "a/b", "1", datetime.now(UTC))

    def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """List them."""
        return self._list(normalize_prefix(prefix), limit)

    async def _list(self, prefix: str, limit: int | None) -> AsyncIterator[ObjectInfo]:
        for key in sorted(key for key in self.objects if key.startswith(prefix))[:limit]:
            yield await self.stat(key)


@pytest.fixture
def store() -> DictStorage:
    """The whole store."""
    return DictStorage()


async def keys_of(service: StorageService, prefix: str = "") -> list[str]:
    """Return the keys that a service lists."""
    return [info.key async for info in service.list(prefix)]


async def test_a_tenant_sees_its_own_objects_only(store: DictStorage) -> None:
    """Every operation takes and tells keys without the prefix, and the store holds them with it."""
    asha, bala = with_prefix(store, "tenants/asha"), with_prefix(store, "tenants/bala/")
    address = await asha.upload("बिल.pdf", b"asha")
    await bala.upload("बिल.pdf", b"bala")
    await asha.copy("बिल.pdf", "copy/बिल.pdf")

    assert address == "dict:tenants/asha/बिल.pdf"
    assert sorted(store.objects) == ["tenants/asha/copy/बिल.pdf", "tenants/asha/बिल.pdf", "tenants/bala/बिल.pdf"]
    assert await asha.download("बिल.pdf") == b"asha"
    assert b"".join([chunk async for chunk in asha.stream("बिल.pdf")]) == b"asha"
    assert (await asha.stat("बिल.pdf")).key == "बिल.pdf"
    assert await keys_of(asha) == ["copy/बिल.pdf", "बिल.pdf"]
    assert await keys_of(asha, "cop") == ["copy/बिल.pdf"]
    assert await keys_of(bala) == ["बिल.pdf"]
    assert await bala.exists("copy/बिल.pdf") is False
    assert await bala.delete("बिल.pdf") is True
    assert await asha.exists("बिल.pdf") is True


@pytest.mark.parametrize("key", ["../bala/bill", "/etc", "a/../../bala", "", "a\\b"])
async def test_no_key_leaves_the_prefix(store: DictStorage, key: str) -> None:
    """A key that would climb out is refused as it was given, by every operation, before the store is asked."""
    tenant = with_prefix(store, "tenants/asha")
    store.objects["tenants/bala/bill"] = b"secret"

    for call in (tenant.download(key), tenant.delete(key), tenant.stat(key), tenant.copy(key, "x"), tenant.upload(key, b"")):
        with pytest.raises(InvalidKey) as raised:
            await call
        assert raised.value.key == key
    with pytest.raises(InvalidKey):
        await anext(tenant.stream(key))


async def test_errors_tell_the_tenant_s_own_keys(store: DictStorage) -> None:
    """What one tenant is told has no other name in it than its own."""
    tenant = with_prefix(store, "tenants/asha")
    await tenant.upload("bill", b"1", if_absent=True)

    with pytest.raises(ObjectNotFound, match="'absent'"):
        await tenant.download("absent")
    with pytest.raises(ObjectNotFound, match="'absent'"):
        await anext(tenant.stream("absent"))
    with pytest.raises(ObjectExists, match="'bill'"):
        await tenant.upload("bill", b"2", if_absent=True)


async def test_a_key_has_its_bytes_with_the_prefix(store: DictStorage) -> None:
    """A key that fits alone and not with the prefix is refused, and the error says why."""
    tenant = with_prefix(store, "tenants/asha")

    with pytest.raises(InvalidKey, match="with the prefix 'tenants/asha/' it is longer than 1024 bytes"):
        await tenant.upload("x" * 1020, b"")


async def test_the_probe_stays_within_the_prefix(store: DictStorage) -> None:
    """Rights to the prefix alone are enough for `indiaai check`."""
    tenant = with_prefix(store, "tenants/asha")
    asked: list[str] = []
    store.objects = _Spy(asked)

    await tenant.probe()

    assert asked
    assert all(key.startswith("tenants/asha/indiaai-check/") for key in asked)


async def test_every_operation_that_takes_a_key_is_placed(store: DictStorage) -> None:
    """An operation that the interface gains is not forgotten here: each one is another callable than the store's own."""
    tenant = with_prefix(store, "tenants/asha")
    operations = {
        "copy",
        "delete",
        "download",
        "exists",
        "get_upload_url",
        "get_url",
        "list",
        "stat",
        "stream",
        "upload",
        "probe",
    }

    assert {name for name, own in vars(tenant).items() if own not in (store, getattr(store, name, None))} == {
        *operations,
        "probe",
    }


def test_it_is_selected_by_its_setting(store: DictStorage) -> None:
    """`STORAGE_PREFIX` says what stands before the keys; without it, and before another layer, the start fails."""
    assert isinstance(wrap(prefix, store, {"STORAGE_PREFIX": "asha"}, layer="storage"), StorageService)
    with pytest.raises(InvalidSettings, match="STORAGE_PREFIX"):
        wrap(prefix, store, layer="storage")
    with pytest.raises(InvalidKey):
        wrap(prefix, store, {"STORAGE_PREFIX": "../asha"}, layer="storage")
    with pytest.raises(ConfigurationError, match="is for the layer storage"):
        wrap(prefix, store, layer="queue")


class _Spy(dict[str, bytes]):
    """A dict that tells which keys were written."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__()
        self._asked = asked

    def __setitem__(self, key: str, value: bytes) -> None:
        self._asked.append(key)
        super().__setitem__(key, value)
