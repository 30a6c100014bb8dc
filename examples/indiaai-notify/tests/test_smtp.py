"""What a mail server may do to a message, and which error says so."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, IndiaAIError
from indiaai_notify import Message, RecipientRefused
from indiaai_notify.smtp import SmtpNotifyService

pytestmark = pytest.mark.anyio

MAKER = Callable[..., SmtpNotifyService]
PASSWORD = "open-sesame"
MESSAGE = Message("asha@example.in", "Subject", "Text")


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_messages_go_encrypted(start: Callable[..., Any], make_service: MAKER, ca_file: str, security: str) -> None:
    """With either kind of TLS the message arrives at a server whose certificate fits."""
    server = await start(tls=security, require_starttls=security == "starttls")
    service = make_service(server, security=security, ca_file=ca_file)

    await service.send(MESSAGE)

    assert server.delivered() == [MESSAGE]


async def test_user_is_let_in(start: Callable[..., Any], make_service: MAKER, ca_file: str) -> None:
    """A server that asks who it is takes the message of the user whose password is set."""
    server = await start(tls="starttls", auth_required=True)
    service = make_service(server, security="starttls", ca_file=ca_file, username="asha", password=PASSWORD)

    await service.send(MESSAGE)

    assert server.delivered() == [MESSAGE]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_stranger_is_told_nothing(start: Callable[..., Any], make_service: MAKER, security: str) -> None:
    """A server whose certificate nobody trusted has signed gets neither password nor message."""
    server = await start(tls=security)
    service = make_service(server, security=security)

    with pytest.raises(BackendUnavailable, match="certificate"):
        await service.send(MESSAGE)

    assert server.mails == []


async def test_server_without_encryption_gets_nothing(start: Callable[..., Any], make_service: MAKER) -> None:
    """Where `starttls` is asked for and the server does not offer it, nothing goes in the clear."""
    server = await start()
    service = make_service(server, security="starttls")

    with pytest.raises(IndiaAIError, match="STARTTLS"):
        await service.send(MESSAGE)

    assert server.mails == []


@pytest.mark.parametrize(
    ("command", "answer", "expected"),
    [
        ("RCPT", "550 No such user", RecipientRefused),
        ("RCPT", "450 Busy", BackendUnavailable),
        ("MAIL", "553 Not yours", ConfigurationError),
        ("MAIL", "451 Later", BackendUnavailable),
        ("DATA", "554 Looks like spam", RecipientRefused),
        ("DATA", "452 Disk full", BackendUnavailable),
    ],
)
async def test_answers_are_told_apart(
    server: Any, make_service: MAKER, command: str, answer: str, expected: type[IndiaAIError]
) -> None:
    """What will not pass is refused, what may pass is worth a retry; the server's own words are in the error."""
    server.answers[command] = answer

    with pytest.raises(expected, match=answer[4:]):
        await make_service(server).send(MESSAGE)

    assert server.mails == []


async def test_wrong_password_is_not_shown(start: Callable[..., Any], make_service: MAKER, ca_file: str) -> None:
    """Who is not let in is told the variables, and not their values."""
    server = await start(tls="starttls", auth_required=True)
    service = make_service(server, security="starttls", ca_file=ca_file, username="asha", password="hunter2")

    with pytest.raises(ConfigurationError, match="SMTP_PASSWORD") as refusal:
        await service.check()

    assert "hunter2" not in f"{refusal.value!r} {service.settings!r}"


async def test_recipient_in_any_script_is_reached(server: Any, make_service: MAKER) -> None:
    """An address beyond ASCII arrives at a server that knows such."""
    message = Message("आशा@example.in", "Subject", "Text")

    await make_service(server).send(message)

    assert server.delivered() == [message]


async def test_recipient_in_any_script_may_be_refused(start: Callable[..., Any], make_service: MAKER) -> None:
    """An address beyond ASCII is refused where the server does not know such."""
    server = await start(enable_SMTPUTF8=False)

    with pytest.raises(RecipientRefused, match="ASCII"):
        await make_service(server).send(Message("आशा@example.in", "Subject", "Text"))


async def test_nobody_there_is_unavailable(server: Any, make_service: MAKER) -> None:
    """A port at which nobody listens is named, and worth a retry."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        service = make_service(server, port=port)

        with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{port}.*SMTP_PORT"):
            await service.check()


async def test_silent_server_is_unavailable(server: Any, make_service: MAKER) -> None:
    """A server that takes the connection and says nothing is left after the time that is set."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = make_service(server, port=silent.getsockname()[1], timeout_seconds=0.2)

        with pytest.raises(BackendUnavailable, match="now"):
            await service.send(MESSAGE)
