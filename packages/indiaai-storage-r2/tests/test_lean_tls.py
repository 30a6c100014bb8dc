"""The lean client over TLS: whom it trusts, and what TLS changes about a connection."""

from __future__ import annotations

import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from indiaai_core import ConfigurationError
from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.failures import Refused, Unanswered
from indiaai_storage_r2.lean.trust import make_context
from making import ServiceMaker
from scripted import Conversation, Exchange, ScriptedServer
from test_lean import EMPTY, HELLO, MIB, TARGET, Source, client_of, read, say_always

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def bundle(certificates: trustme.CA, tmp_path: Path) -> str:
    """A file that holds the authority that the tests' servers are certified by."""
    certificates.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def trusting(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the tests' servers."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)


def make_tls(certificates: trustme.CA, version: ssl.TLSVersion = VERSIONS[-1], name: str = "localhost") -> ssl.SSLContext:
    """Return a server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    certificates.issue_cert(name).configure_cert(context)
    return context


def serve(certificates: trustme.CA, *exchanges: Exchange, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ScriptedServer:
    """Return a server over TLS."""
    return ScriptedServer(*exchanges, context=make_tls(certificates, version))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("trusting")
def test_bodies_of_any_size_go_over_tls(certificates: trustme.CA, version: ssl.TLSVersion) -> None:
    """What is sent arrives, and what is answered comes back, over one connection, with either version of TLS."""
    content = bytes(range(251)) * (3 * MIB // 251)
    server = serve(certificates, echo, version=version)

    with client_of(server) as client:
        echoed = []
        for size in (0, 1, 100_000, len(content)):
            client.put_object(**TARGET, Body=Source(content[:size]))
            echoed.append(read(client.get_object(**TARGET), 70_000) == content[:size])

    assert echoed == [True] * 4
    assert server.connections == 1


def echo(conversation: Conversation) -> None:
    """Answer each GET with the body of the last PUT."""
    stored = b""
    while True:
        request = conversation.read()
        if request.startswith(b"PUT"):
            stored = request.partition(b"\r\n\r\n")[2]
            conversation.socket.sendall(EMPTY)
        else:
            conversation.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(stored) + stored)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("trusting")
def test_an_early_refusal_is_told_over_tls(certificates: trustme.CA, version: ssl.TLSVersion) -> None:
    """A refusal that comes while a large body is being sent is heard, and a ticket of the session is not taken for one."""

    def refuse(conversation: Conversation) -> None:
        conversation.read_head()
        for _ in range(20):
            conversation.socket.recv(16_384)
        conversation.socket.sendall(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
        while conversation.socket.recv(100_000):
            pass

    server = serve(certificates, refuse, version=version)

    with client_of(server) as client, pytest.raises(Refused, match="403"):
        client.put_object(**TARGET, Body=Source(bytes(32 * MIB)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("trusting")
def test_a_session_is_resumed(certificates: trustme.CA, version: ssl.TLSVersion) -> None:
    """A further connection takes up the session of an earlier one, which spares both sides the certificates."""
    resumed = []

    def note(conversation: Conversation) -> None:
        assert isinstance(conversation.socket, ssl.SSLSocket)
        resumed.append(conversation.socket.session_reused)
        conversation.answer(HELLO)

    with client_of(serve(certificates, note, version=version)) as client:
        for _ in range(3):
            assert read(client.get_object(**TARGET)) == b"hello"

    assert resumed == [False, True, True]


def test_who_is_not_certified_is_not_talked_to(certificates: trustme.CA) -> None:
    """A certificate that nobody known has signed ends the connection before anything is asked."""
    server = serve(certificates, say_always(HELLO))

    with client_of(server) as client, pytest.raises(Unanswered, match="CERTIFICATE_VERIFY_FAILED"):
        client.get_object(**TARGET)

    assert server.requests == []


@pytest.mark.usefixtures("trusting")
def test_who_is_certified_for_another_name_is_not_talked_to(certificates: trustme.CA) -> None:
    """A certificate for another host ends the connection before anything is asked."""
    server = ScriptedServer(say_always(HELLO), context=make_tls(certificates, name="another.example.in"))

    with client_of(server) as client, pytest.raises(Unanswered, match="CERTIFICATE_VERIFY_FAILED"):
        client.get_object(**TARGET)

    assert server.requests == []


@pytest.mark.usefixtures("trusting")
def test_who_does_not_speak_tls_is_not_talked_to() -> None:
    """A server without TLS behind an address with it is no store."""
    with client_of(ScriptedServer(say_always(HELLO))) as plain:
        address = f"https://localhost:{plain._pool._host.port}"
        client = LeanClient(address, access_key_id="id", secret_access_key="secret", connect_seconds=2)
        with pytest.raises(Unanswered):
            client.get_object(**TARGET)


@pytest.mark.anyio
async def test_an_untrusted_certificate_is_a_setting_s_fault(certificates: trustme.CA, make_service: ServiceMaker) -> None:
    """Through the service, it is a `ConfigurationError` that names the variable to look at."""
    with serve(certificates, say_always(HELLO)).running() as server, pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE"):
        await make_service(server.endpoint).download("key")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_takes_the_place_of_the_roots(bundle: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either of botocore's variables names the only certificates that are trusted."""
    monkeypatch.setenv(variable, bundle)

    assert make_context().cert_store_stats()["x509_ca"] == 1


def test_aws_s_bundle_goes_before_the_other(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both variables are set, botocore's own order holds."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")

    assert make_context().cert_store_stats()["x509_ca"] == 1


@pytest.fixture
def no_certifi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no certifi installed."""
    monkeypatch.setitem(sys.modules, "certifi", None)


@pytest.mark.usefixtures("no_certifi")
def test_without_certifi_botocore_s_roots_are_trusted() -> None:
    """The file that botocore brings is there for whoever has no certifi."""
    assert make_context().cert_store_stats()["x509_ca"] > 50


def test_by_default_known_authorities_are_trusted() -> None:
    """Certificates and names are checked, against the authorities that everybody trusts."""
    context = make_context()

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] > 50


def test_a_bundle_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no file ends in an error, and not in trusting others."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    client = LeanClient("https://localhost:9", access_key_id="id", secret_access_key="secret")

    with pytest.raises(Unanswered):
        client.get_object(**TARGET)


@pytest.mark.usefixtures("trusting")
def test_threads_that_connect_first_share_one_context(certificates: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that one of them had can be resumed by all."""
    made: list[ssl.SSLContext] = []

    def make_slowly() -> ssl.SSLContext:
        time.sleep(0.05)
        made.append(make_context())
        return made[-1]

    monkeypatch.setattr("indiaai_storage_r2.lean.client.make_context", make_slowly)
    with client_of(serve(certificates, echo)) as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.put_object(**TARGET, Body=b"x"), range(8)))

    assert len(answers) == 8
    assert len(made) == 1
