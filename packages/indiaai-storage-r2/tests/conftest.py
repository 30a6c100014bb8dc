"""The stores that the tests run against, and services on them."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme

from indiaai_storage_r2 import R2StorageService

sys.path.insert(0, str(Path(__file__).parent))  # for the doubles, which several test modules share
import swift
from making import SECRET, ServiceMaker, make_settings
from r2 import R2Server

START_SECONDS = 40

collect_ignore = ["chaos", "integration"]  # run by the sessions of these names, or by their paths


@pytest.fixture(params=["lean", "boto3"])
def plane(request: pytest.FixtureRequest) -> str:
    """Each of the ways in which requests for objects are sent."""
    return str(request.param)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, which the product runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_aws_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def certificates() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def server() -> Iterator[R2Server]:
    """A server with R2's rules, over http."""
    with R2Server().running() as running:
        yield running


@pytest.fixture
def tls_server(certificates: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[R2Server]:
    """A server with R2's rules, over TLS 1.3, whose certificate the service trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    certificates.issue_cert("localhost").configure_cert(context)
    certificates.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with R2Server(context).running() as running:
        yield running


@pytest.fixture
async def make_service() -> AsyncIterator[ServiceMaker]:
    """Make services that are closed at the end."""
    made: list[R2StorageService] = []

    def make(endpoint: str, **values: Any) -> R2StorageService:
        made.append(R2StorageService(make_settings(endpoint, **values)))
        return made[-1]

    yield make
    for service in made:
        await service.aclose()


@pytest.fixture
def service(make_service: ServiceMaker, server: R2Server) -> R2StorageService:
    """A service on the server with R2's rules."""
    return make_service(server.endpoint)


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    """Host and port of a moto server: conditions and multipart uploads as S3's, any signature."""
    with _serving(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}") as address:
        yield address


@pytest.fixture
def moto_bucket(moto_address: str) -> tuple[str, str]:
    """The endpoint of the moto server, and an empty bucket in it."""
    bucket = f"bucket-{uuid4().hex}"
    connection = http.client.HTTPConnection(moto_address, timeout=10)
    try:
        connection.request("PUT", f"/{bucket}")
        assert connection.getresponse().read() is not None
    finally:
        connection.close()
    return f"http://{moto_address}", bucket


@pytest.fixture(scope="session")
def rclone_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of `rclone serve s3`: signatures checked, conditions ignored."""
    with _rclone(tmp_path_factory.mktemp("rclone")) as address:
        yield address


@pytest.fixture
def run_rclone() -> Callable[[Path], AbstractContextManager[str]]:
    """Start an rclone of the test's own, on a folder, for as long as a block lasts, and give its host and port."""
    return _rclone


@contextmanager
def _rclone(folder: Path) -> Iterator[str]:
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or "rclone"
    key = make_settings("http://localhost").access_key_id
    options = ("--auth-key", f"{key},{SECRET}", "--addr", "127.0.0.1:{port}", "--config", str(folder / "none"))
    (folder / "store").mkdir(exist_ok=True)
    with _serving(program, "serve", "s3", *options, str(folder / "store")) as address:
        yield address


@pytest.fixture
def rclone_bucket(rclone_address: str) -> tuple[str, str]:
    """The endpoint of rclone's server, and an empty bucket in it."""
    endpoint, bucket = f"http://{rclone_address}", f"bucket-{uuid4().hex}"
    client = R2StorageService(make_settings(endpoint)).client
    client.create_bucket(Bucket=bucket)
    client.close()
    return endpoint, bucket


@contextmanager
def _serving(*command: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [part.replace("{port}", str(port)) for part in command]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
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


@pytest.fixture(scope="session")
def swift_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a Swift that was installed and started for this session."""
    uv = pytest.importorskip("uv", reason="without uv there is nothing to install Swift with; `nox -s integration` has it")
    folder = tmp_path_factory.mktemp("swift")
    for arguments in (
        ["venv", "--python", sys.executable, str(folder / "venv")],
        ["pip", "install", "--python", str(folder / "venv"), *swift.REQUIREMENTS],
    ):
        run = subprocess.run([uv.find_uv_bin(), "--quiet", *arguments], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
    with swift.running_swift(folder / "venv" / "bin", folder / "data") as endpoint:
        yield endpoint


@pytest.fixture
def swift_bucket(swift_endpoint: str) -> dict[str, Any]:
    """What a service needs to know of an empty bucket in Swift."""
    values = {
        "endpoint": swift_endpoint,
        "bucket": f"bucket-{uuid4().hex}",
        "access_key_id": swift.ACCESS_KEY_ID,
        "secret_access_key": swift.SECRET,
    }
    client = R2StorageService(make_settings(**values)).client
    client.create_bucket(Bucket=values["bucket"])
    client.close()
    return values
