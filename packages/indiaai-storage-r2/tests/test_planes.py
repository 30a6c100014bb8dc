"""Which of the two clients a request goes through: ours for single objects, boto3's for everything else."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from unittest import mock

import pytest

from indiaai_storage_r2 import R2StorageService
from making import SECRET, ServiceMaker, make_settings
from r2 import R2Server
from scripted import ScriptedServer
from test_lean import HELLO, say_always

PROGRAM = """
import asyncio, os, sys
from indiaai_core import ObjectExists, ObjectNotFound
from indiaai_storage_r2 import R2Settings, R2StorageService
service = R2StorageService(R2Settings(
    endpoint_url=sys.argv[1], bucket_name="bucket", access_key_id=sys.argv[2], secret_access_key=sys.argv[3], part_size_mib=5))
async def broken():
    yield bytes(11 * 1024 * 1024)
    raise LookupError
async def main():
    await service.check()
    await service.upload("key", b"content")
    try:
        await service.upload("key", b"content", if_absent=True)
    except ObjectExists:
        pass
    assert await service.download("key") == b"content"
    assert [chunk async for chunk in service.stream("key", start=1, end=3)] == [b"on"]
    await service.stat("key"), await service.exists("key"), await service.get_url("key"), await service.get_upload_url("key")
    await service.delete("key")
    await service.upload("parts", bytes(11 * 1024 * 1024))
    try:
        await service.upload("parts", bytes(11 * 1024 * 1024), if_absent=True)
    except ObjectExists:
        pass
    try:
        await service.upload("broken", broken())
    except LookupError:
        pass
    try:
        await service.download("key")
    except ObjectNotFound:
        pass
    await service.aclose()
asyncio.run(main())
print(sorted({"boto3", "botocore", "s3transfer", "urllib3"} & set(sys.modules)))
"""


def test_boto3_is_not_loaded_for_single_objects(server: R2Server) -> None:
    """A process that checks, puts, also in parts, gets, signs and deletes objects, errors included, never loads boto3."""
    settings = make_settings(server.endpoint)

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.endpoint, settings.access_key_id, SECRET],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
    assert server.uploads == {}


def agents(server: R2Server) -> set[str]:
    """Return who has sent requests for objects."""
    return {request.headers["user-agent"].partition("/")[0] for request in server.requests}


async def use(service: R2StorageService) -> None:
    """Put, get, look at and delete an object, and put one in parts."""
    await service.upload("parts", bytes(6 * 1024 * 1024))
    await service.upload("key", b"content", metadata={"name": "value"})
    assert await service.download("key") == b"content"
    assert (await service.stat("key")).metadata == {"name": "value"}
    assert await service.delete("key")


@pytest.mark.anyio
async def test_each_plane_sends_its_own(server: R2Server, make_service: ServiceMaker) -> None:
    """Under `R2_DATA_PLANE=boto3` everything goes through boto3, and otherwise what is about one object does not."""
    await use(make_service(server.endpoint))
    lean = agents(server)
    server.requests.clear()

    await use(make_service(server.endpoint, data_plane="boto3"))

    assert lean == {"indiaai-storage-r2"}
    assert agents(server) == {"Boto3"}


@pytest.mark.anyio
async def test_both_planes_sign_alike(make_service: ServiceMaker) -> None:
    """The two planes give the same URLs, with all that the settings have."""
    now = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    services = [make_service("http://localhost:9/path", data_plane=plane, session_token="t/=") for plane in ("lean", "boto3")]
    services[0]._connection.lean_client()._signer._clock = now.timestamp

    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        urls = [
            [await service.get_url("a b"), await service.get_upload_url("a b", 60, content_type="text/plain")]
            for service in services
        ]

    assert urls[0] == urls[1]


@pytest.mark.anyio
async def test_a_proxy_is_boto3_s_to_know(
    make_service: ServiceMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a proxy is set for the store, boto3 sends everything through it, and one line of the log says so."""
    caplog.set_level(logging.INFO, logger="indiaai_storage_r2")
    proxy = ScriptedServer(say_always(HELLO))

    with proxy.running():
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        service = make_service("http://store.example.in")
        contents = [await service.download(key) for key in ("one", "two")]
        await service.aclose()

    assert contents == [b"hello", b"hello"]
    assert all(request.startswith(b"GET http://store.example.in/bucket/") for request in proxy.requests)
    assert all(b"Boto3" in request for request in proxy.requests)
    assert len([record for record in caplog.records if record.getMessage().startswith("A proxy stands before")]) == 1


@pytest.mark.anyio
async def test_a_store_that_no_proxy_is_for_is_asked_directly(
    server: R2Server, make_service: ServiceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for other addresses changes nothing: `NO_PROXY`, and proxies for another scheme."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.in,localhost")

    await use(make_service(server.endpoint))

    assert agents(server) == {"indiaai-storage-r2"}
