"""The layer in a platform, found through its entry points as any other."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core import InvalidSettings, Platform, UnknownBackend
from indiaai_notify import Message, get_notify_service
from indiaai_notify.console import ConsoleNotifyService
from indiaai_notify.smtp import SmtpNotifyService

pytestmark = pytest.mark.anyio


async def test_console_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing set, messages are shown."""
    async with Platform({}):
        await get_notify_service().send(Message("asha@example.in", "Subject", "Text"))

    assert "To: asha@example.in\nSubject: Subject\n\nText\n" in capsys.readouterr().err


async def test_variables_select_the_server(server: Any) -> None:
    """Setting variables is all that it takes to send."""
    host, port = server.address
    variables = {"NOTIFY_TYPE": "smtp", "SMTP_HOST": host, "SMTP_PORT": f"{port}"}
    async with Platform(variables | {"SMTP_SECURITY": "none", "SMTP_SENDER": "noreply@example.in"}):
        service = get_notify_service()
        await service.send(Message("asha@example.in", "Subject", "Text"))

    assert isinstance(service, SmtpNotifyService)
    assert [mail["From"] for mail in server.mails] == ["noreply@example.in"]


async def test_named_instance_has_variables_of_its_own(server: Any) -> None:
    """A second service has a prefix, and the first one stays what it was."""
    host, port = server.address
    variables = {"ALERTS_NOTIFY_TYPE": "smtp", "ALERTS_SMTP_HOST": host, "ALERTS_SMTP_PORT": f"{port}"}
    async with Platform(variables | {"SMTP_SECURITY": "none", "SMTP_SENDER": "noreply@example.in"}):
        main, alerts = get_notify_service(), get_notify_service("alerts")

    assert isinstance(main, ConsoleNotifyService)
    assert isinstance(alerts, SmtpNotifyService)


async def test_faults_are_named_at_the_start() -> None:
    """What is not set, and a backend that is not there, are said before anything is sent."""
    with pytest.raises(InvalidSettings, match=r"SMTP_HOST(.|\n)*SMTP_SENDER"):
        async with Platform({"NOTIFY_TYPE": "smtp"}):
            pass
    with pytest.raises(UnknownBackend, match="smtp"):
        async with Platform({"NOTIFY_TYPE": "stmp"}):
            pass
