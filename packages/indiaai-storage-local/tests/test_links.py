"""Links are signed with a secret that is made once, and lead to where the application serves them."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from indiaai_core.errors import BackendUnavailable, StorageError
from indiaai_core.platform import request_origin
from indiaai_storage_local import LocalSettings, LocalStorageService

pytestmark = pytest.mark.anyio

SECRET = SecretStr("a secret for several hosts")


async def test_an_address_is_a_path_where_nobody_says_to_whom(service: LocalStorageService) -> None:
    """Outside of a request and without a setting, addresses and links begin with the path that the platform serves."""
    address = await service.upload("a b/ç.txt", b"x")

    assert address == "/_indiaai/storage/default/a%20b/%C3%A7.txt"
    assert (await service.get_url("a b/ç.txt")).startswith(f"{address}?expires=")


async def test_an_address_is_absolute_within_a_request(service: LocalStorageService) -> None:
    """A request says which host and root path the client knows."""
    service.served_at = "/_indiaai/storage/archive"
    token = request_origin.set("https://app.example/root")
    try:
        address = await service.upload("key", b"x")
    finally:
        request_origin.reset(token)

    assert address == "https://app.example/root/_indiaai/storage/archive/key"


async def test_a_setting_says_where_links_lead(root: Path) -> None:
    """A public URL wins over the request's own host."""
    service = LocalStorageService(LocalSettings(path=root, public_url="https://files.example/"))
    token = request_origin.set("https://internal")
    try:
        url = await service.get_url("key")
    finally:
        request_origin.reset(token)

    assert url.startswith("https://files.example/_indiaai/storage/default/key?")
    await service.aclose()


async def test_the_secret_is_made_once_and_is_nobody_elses(service: LocalStorageService, root: Path) -> None:
    """It is in the store's directory, for its owner only, and another service reads it."""
    await service.get_url("key")
    secret = (root / "secret").read_bytes()

    async with LocalStorageService(LocalSettings(path=root)) as other:
        await other.get_url("key")
        assert await other.secret() == await service.secret() == secret

    assert len(secret) == 64
    assert (root / "secret").read_bytes() == secret
    if sys.platform != "win32":
        assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o600


def test_of_many_secrets_at_once_one_wins(root: Path) -> None:
    """Services that start together on an empty directory sign alike."""

    def secret(_: int) -> bytes:
        return asyncio.run(secret_of(LocalStorageService(LocalSettings(path=root))))

    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(secret, range(24)))

    assert len(secrets) == 1
    assert os.listdir(root / "tmp") == []


async def secret_of(service: LocalStorageService) -> bytes:
    """Return a service's secret, and close it."""
    async with service:
        return await service.secret()


async def test_hosts_that_share_a_secret_take_each_others_links(tmp_path: Path) -> None:
    """The setting is used in place of the file, which is then not made."""
    one = LocalStorageService(LocalSettings(path=tmp_path / "one", url_secret=SECRET))
    two = LocalStorageService(LocalSettings(path=tmp_path / "two", url_secret=SECRET))

    assert await one.secret() == await two.secret()
    await one.get_url("key")
    await one.check()

    assert not (tmp_path / "one" / "secret").exists()
    for service in (one, two):
        await service.aclose()


async def test_a_damaged_secret_is_said(service: LocalStorageService, root: Path) -> None:
    """An empty file is no secret: a link that it signed could be forged."""
    await service.get_url("key")
    (root / "secret").write_bytes(b"")

    async with LocalStorageService(LocalSettings(path=root)) as other:
        with pytest.raises(StorageError, match="secret is damaged"):
            await other.get_url("key")
        with pytest.raises(StorageError, match="secret is damaged"):
            await other.check()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
async def test_a_secret_that_others_may_read_is_refused(service: LocalStorageService, root: Path, mode: int) -> None:
    """Who can read the secret can forge links: a mode that lets others is said, with what mends it."""
    await service.get_url("key")
    (root / "secret").chmod(mode)

    async with LocalStorageService(LocalSettings(path=root)) as other:
        for call in (other.check, lambda: other.get_url("key")):
            with pytest.raises(StorageError, match=rf"mode {mode:o}.*chmod 600"):
                await call()
        (root / "secret").chmod(0o600)

        assert await other.get_url("key")


async def test_a_secret_that_cannot_be_kept_is_said(
    service: LocalStorageService, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place for the secret there is no link, and nothing is left."""
    await service.check()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        with pytest.raises(BackendUnavailable, match="keep the secret"):
            await service.get_url("key")

    assert os.listdir(root / "tmp") == []
    assert await service.get_url("key")


async def test_the_secret_is_in_no_text(tmp_path: Path) -> None:
    """Neither the settings' text nor the service's nor a link holds it."""
    settings = LocalSettings(path=tmp_path, url_secret=SECRET)
    service = LocalStorageService(settings)

    shown = f"{settings!r} {settings} {service!r} {vars(service)['settings']!r} {await service.get_url('key')}"

    assert SECRET.get_secret_value() not in shown
    await service.aclose()
