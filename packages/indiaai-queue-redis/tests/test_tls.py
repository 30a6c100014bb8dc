"""Connections under TLS, with certificates that the tests make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from indiaai_core import BackendUnavailable, ConfigurationError
from indiaai_queue_redis import RedisQueueService, RedisSettings
from redisserver import RedisServer, find_programs, free_port

pytestmark = pytest.mark.anyio

PASSWORD = "hunter2-not-for-logs"


class TlsServer:
    """A server behind TLS.

    Attributes:
        authority: Who signs its certificate and the clients'.
        ca_file: That one's own certificate.
        port: Where TLS is spoken.
    """

    def __init__(self, folder: Path) -> None:
        """Make the certificates."""
        self.authority, self.folder, self.port = trustme.CA(), folder, free_port()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.client_file = folder / "client.pem"
        self.authority.issue_cert("worker@example.org").private_key_and_cert_chain_pem.write_to_path(self.client_file)

    def start(self, *, clients: str) -> RedisServer:
        """Start it on the first program that speaks TLS, or skip the test where none does."""
        own = self.folder / "server.pem"
        self.authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
        options = ["--tls-port", f"{self.port}", "--tls-cert-file", f"{own}", "--tls-key-file", f"{own}"]
        options += ["--tls-ca-cert-file", f"{self.ca_file}", "--tls-auth-clients", clients, "--requirepass", PASSWORD]
        for name, program in find_programs().items():
            server = RedisServer(program, self.folder / name, *options)
            try:
                server.start()
            except RuntimeError:
                continue  # it was built without
            return server
        pytest.skip("no redis-server here speaks TLS: apt install redis-server")

    def service(self, *options: str, scheme: str = "rediss") -> RedisQueueService:
        """Make a service that comes with these options in its address."""
        url = f"{scheme}://:{PASSWORD}@127.0.0.1:{self.port}/0?{'&'.join(options)}".rstrip("?")
        return RedisQueueService(RedisSettings.model_validate({"url": url, "retry_seconds": 0.2, "timeout_seconds": 2}))


@pytest.fixture
def tls(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TlsServer]:
    """Give a server behind TLS; by a parameter, one that wants certificates of its clients."""
    door = TlsServer(tmp_path)
    server = door.start(clients=getattr(request, "param", "no"))
    yield door
    server.stop()


async def test_queue_is_worked_under_tls(tls: TlsServer) -> None:
    """With `rediss://` and the authority that signed, tasks go in, are waited for, delivered and settled."""
    async with tls.service(f"ssl_ca_certs={tls.ca_file}") as service:
        await service.check()
        task_id = await service.enqueue("process", {"key": "a"})
        task = await service.dequeue(10)

        assert task is not None
        assert await service.update_status(task, "completed")
        assert await service.dequeue(0.1) is None
        assert (await service.get_status(task_id)).is_final
        assert await service.client.ping()


async def test_certificate_of_a_stranger_is_a_configuration_error(tls: TlsServer) -> None:
    """A certificate that nobody known has signed is said at once, with what to set, and no secret."""
    async with tls.service() as service:
        with pytest.raises(ConfigurationError, match="ssl_ca_certs") as refusal:
            await service.enqueue("process")

    assert PASSWORD not in str(refusal.value)


async def test_certificate_of_another_host_is_a_configuration_error(tls: TlsServer) -> None:
    """A certificate for another name than the address has is refused as well."""
    service = tls.service(f"ssl_ca_certs={tls.ca_file}")
    url = f"rediss://:{PASSWORD}@localhost:{tls.port}/0?ssl_ca_certs={tls.ca_file}"
    other = RedisQueueService(RedisSettings.model_validate({"url": url, "retry_seconds": 0.2}))

    async with service, other:
        await service.check()
        with pytest.raises(ConfigurationError, match="REDIS_URL"):
            await other.check()


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_certificate_that_is_not_there_is_a_configuration_error(tls: TlsServer, option: str) -> None:
    """A file that the address names and nobody can read is said at once."""
    async with tls.service(f"{option}=/no/such.pem") as service:
        with pytest.raises(ConfigurationError, match=r"REDIS_URL.*No such file"):
            await service.check()


async def test_options_of_the_client_work_under_tls(tls: TlsServer) -> None:
    """An option that redis-py alone knows has that connect, under TLS as well."""
    async with tls.service(f"ssl_ca_certs={tls.ca_file}", "ssl_min_version=771") as service:
        assert await service.enqueue("process")


@pytest.mark.parametrize("tls", ["yes"], indirect=True)
async def test_certificate_of_the_client_lets_in(tls: TlsServer) -> None:
    """A server that wants to know its clients lets in who shows a certificate, and no other."""
    trusting = f"ssl_ca_certs={tls.ca_file}"
    async with tls.service(trusting) as stranger:
        with pytest.raises((BackendUnavailable, ConfigurationError)):
            await stranger.check()

    async with tls.service(trusting, f"ssl_certfile={tls.client_file}", f"ssl_keyfile={tls.client_file}") as known:
        assert await known.enqueue("process")


async def test_plain_connection_to_a_door_of_tls_is_unavailable(tls: TlsServer) -> None:
    """`redis://` where TLS is spoken is an error, and hangs nowhere."""
    async with tls.service(scheme="redis") as service:
        with pytest.raises(BackendUnavailable):
            await service.check()
