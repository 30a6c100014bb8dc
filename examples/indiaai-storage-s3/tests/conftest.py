"""The servers that the tests run against, and what reaches them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from uuid import uuid4

import pytest

from indiaai_storage_s3 import S3Settings, S3StorageService

START_SECONDS = 40
KEY_ID, SECRET = "AKIATESTSTESTSTESTS1", "secret-that-is-long-enough-for-a-test-0000"

ServiceMaker = Callable[[str], S3StorageService]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a moto server, which has S3's conditions, parts and checksums, and takes any signature."""
    with _serving(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}") as address:
        yield address


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `rclone serve s3`, which checks signatures and knows no conditions."""
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or "rclone"
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "store").mkdir()
    options = ("--auth-key", f"{KEY_ID},{SECRET}", "--addr", "127.0.0.1:{port}", "--config", str(folder / "none"))
    with _serving(program, "serve", "s3", *options, str(folder / "store")) as address:
        yield address


@pytest.fixture
async def make_service() -> AsyncIterator[ServiceMaker]:
    """Make services on an empty bucket of a server: the same bucket each time. They are closed at the end."""
    bucket = f"bucket-{uuid4().hex}"
    async with AsyncExitStack() as stack:

        def make(address: str) -> S3StorageService:
            service = S3StorageService(S3Settings(bucket_name=bucket, endpoint_url=address))
            stack.push_async_callback(service.aclose)
            if bucket not in [found["Name"] for found in service.client.list_buckets()["Buckets"]]:
                service.client.create_bucket(Bucket=bucket)
            return service

        yield make


@contextmanager
def _serving(*command: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [part.replace("{port}", str(port)) for part in command]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the server did not start (exit status {process.poll()})")
