"""A real mail server on loopback, and services that send to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from indiaai_notify import Message
from indiaai_notify.smtp import SmtpNotifyService, SmtpSettings

PASSWORD = "open-sesame"


class MailServer:
    """What arrives at a mail server of aiosmtpd, and what it answers: aiosmtpd finds its answers by these names."""

    def __init__(self) -> None:
        """Begin with nothing, and an answer to everything."""
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}
        self.address = ("", 0)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Answer as the test says, or take the recipient."""
        answer = self.answers.get("RCPT", "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Answer as the test says, or take the sender."""
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Answer as the test says, or keep the message."""
        if answer := self.answers.get("DATA"):
            return answer
        self.envelopes.append(envelope)
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Know one user."""
        return AuthResult(success=data.login == b"asha" and data.password == PASSWORD.encode(), handled=False)

    @property
    def mails(self) -> list[EmailMessage]:
        """The messages that arrived, parsed."""
        return [message_from_bytes(envelope.original_content or b"", policy=policy.default) for envelope in self.envelopes]

    def delivered(self) -> list[Message]:
        """Give the messages that arrived, as they were sent."""
        texts = [mail.get_content().replace("\r\n", "\n").removesuffix("\n") for mail in self.mails]
        return [Message(mail["To"], mail["Subject"], text) for mail, text in zip(self.mails, texts, strict=True)]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """The authority in a file."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
async def start(authority: trustme.CA) -> AsyncIterator[Callable[..., Awaitable[MailServer]]]:
    """Start servers on the test's own event loop, with aiosmtpd's own options; they end with the test."""
    started: list[asyncio.Server] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def run(*, tls: str = "none", **options: Any) -> MailServer:
        server = MailServer()
        given: dict[str, Any] = {
            "authenticator": server.authenticate,
            "enable_SMTPUTF8": True,
            "hostname": "localhost",
        } | options
        later = context if tls == "starttls" else None
        listener = await asyncio.get_running_loop().create_server(
            lambda: SMTP(server, tls_context=later, **given), "127.0.0.1", 0, ssl=context if tls == "tls" else None
        )
        started.append(listener)
        server.address = listener.sockets[0].getsockname()[:2]
        return server

    yield run
    for listener in started:
        listener.close()
        await listener.wait_closed()


@pytest.fixture
async def server(start: Callable[..., Awaitable[MailServer]]) -> MailServer:
    """A server without encryption."""
    return await start()


@pytest.fixture
def make_service() -> Callable[..., SmtpNotifyService]:
    """Make services that send to a server."""

    def make(server: MailServer, **values: Any) -> SmtpNotifyService:
        host, port = server.address
        given: dict[str, Any] = {
            "host": host,
            "port": port,
            "security": "none",
            "sender": "noreply@example.in",
            "timeout_seconds": 5,
        }
        return SmtpNotifyService(SmtpSettings(**(given | values)))

    return make
