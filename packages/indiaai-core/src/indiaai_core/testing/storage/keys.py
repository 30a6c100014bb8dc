"""Promises about keys; part of `StorageConformance`."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.errors import InvalidKey
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage import samples
from indiaai_core.testing.storage.samples import INVALID_KEYS, ODD_KEYS, PROPERTY

__all__ = ["KeyPromises"]


class KeyPromises:
    """A key names its object exactly, and names no other."""

    @promise("S59", "Every method refuses a key that breaks the rules with InvalidKey, and touches nothing.")
    @pytest.mark.parametrize("key", INVALID_KEYS, ids=range(len(INVALID_KEYS)))
    async def test_an_invalid_key_is_refused(self, service: StorageService, key: str) -> None:
        await service.upload("valid", b"valid")
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: service.upload(key, b"x"),
            lambda: service.download(key),
            lambda: service.get_url(key),
            lambda: service.delete(key),
            lambda: service.exists(key),
            lambda: service.copy(key, "copy"),
            lambda: service.copy("valid", key),
            lambda: samples.collect(service.stream(key)),
        ]
        if "stat" in service.capabilities:
            calls.append(lambda: service.stat(key))
        if "presign_upload" in service.capabilities:
            calls.append(lambda: service.get_upload_url(key))

        for call in calls:
            with pytest.raises(InvalidKey):
                await call()

        assert not await service.exists("copy")
        if "list" in service.capabilities:
            assert await samples.listed(service) == ["valid"]

    @promise("S60", "The composed and the decomposed form of a key name one object.")
    async def test_both_forms_name_one_object(self, service: StorageService) -> None:
        await service.upload("cafe\u0301", b"decomposed")
        found = await service.download("caf\u00e9")

        await service.upload("caf\u00e9", b"composed")

        assert found == b"decomposed"
        assert await service.download("cafe\u0301") == b"composed"
        assert await service.delete("cafe\u0301")
        assert not await service.exists("caf\u00e9")

    @promise("S61", "Case matters: keys that differ in it alone name different objects.")
    async def test_case_matters(self, service: StorageService) -> None:
        keys = ("readme.md", "README.md", "ReadMe.md", "Readme.md/x", "readme.md/x")

        for key in keys:
            await service.upload(key, key.encode())

        assert [await service.download(key) for key in keys] == [key.encode() for key in keys]

    @promise("S62", "A key may be the beginning of others, also with '/' after it, whichever comes first.")
    async def test_a_key_may_be_a_prefix_of_others(self, service: StorageService) -> None:
        keys = ("up/a", "up/a/b", "up/a/b/c", "down/a/b/c", "down/a/b", "down/a", "down")

        for key in keys:
            await service.upload(key, key.encode())

        assert [await service.download(key) for key in keys] == [key.encode() for key in keys]

    @promise("S63", "A key may have 1,024 bytes, in one part or in many.")
    async def test_a_key_may_have_1024_bytes(self, service: StorageService) -> None:
        keys = ("k" * 1024, "K" * 1024, "/".join("k" * 512) + "k", "क" * 341 + "k", "%" * 1024)
        nearly = ("k" * 1023, "k" * 1022 + "j")

        for key in (*keys, *nearly):
            await service.upload(key, key.encode())

        assert [await service.download(key) for key in (*keys, *nearly)] == [key.encode() for key in (*keys, *nearly)]

    @promise("S64", "Keys of any characters that the rules allow name objects of their own.")
    async def test_odd_keys_name_objects_of_their_own(self, service: StorageService) -> None:
        for key in ODD_KEYS:
            await service.upload(key, key.encode())

        found = {key: await service.download(key) for key in ODD_KEYS}

        assert found == {key: key.encode() for key in ODD_KEYS}
        if "list" in service.capabilities:
            assert set(await samples.listed(service)) == set(ODD_KEYS)

    @promise("S65", "Any set of valid keys names as many objects, each under its own.")
    @PROPERTY
    @given(names=st.lists(samples.keys(), max_size=6))
    async def test_any_keys_name_objects_of_their_own(self, service: StorageService, names: list[str]) -> None:
        folder = samples.fresh_folder()
        keys = samples.keys_under(folder, names)

        for key in keys:
            await service.upload(key, key.encode())

        assert {key: await service.download(key) for key in keys} == {key: key.encode() for key in keys}
        if "list" in service.capabilities:
            assert await samples.listed(service, f"{folder}/") == sorted(keys, key=str.encode)

    @promise("S100", "Any key names its object in its composed and its decomposed form, and no key that looks like it does.")
    @PROPERTY
    @given(name=samples.keys(max_parts=2))
    async def test_any_key_names_one_object(self, service: StorageService, name: str) -> None:
        key = f"{samples.fresh_folder()}/{name}"

        await service.upload(unicodedata.normalize("NFD", key), b"decomposed")
        found = await service.download(unicodedata.normalize("NFC", key))

        for other in samples.lookalikes(key):
            assert not await service.exists(other), f"{other!r} is taken for {key!r}"
            assert not await service.delete(other), f"{other!r} is taken for {key!r}"
        assert found == await service.download(key) == b"decomposed"
