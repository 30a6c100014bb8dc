"""Every promise of the layer, kept on the console and on a real mail server."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from indiaai_notify import Message
from indiaai_notify.console import ConsoleNotifyService
from indiaai_notify.smtp import SmtpNotifyService
from indiaai_notify.testing import Delivered, NotifyConformance

_SHOWN = re.compile(r"Message <\w+@console>\nTo: ([^\n]+)\nSubject: ([^\n]+)\n\n(.*?)\n\n(?=Message <|\Z)", re.DOTALL)


class TestConsole(NotifyConformance):
    """The suite, on a text file in memory."""

    @pytest.fixture
    def stream(self) -> io.StringIO:
        """What stands in for standard error."""
        return io.StringIO()

    @pytest.fixture
    def service(self, stream: io.StringIO) -> ConsoleNotifyService:
        """A service that writes there."""
        return ConsoleNotifyService(stream=stream)

    @pytest.fixture
    def delivered(self, stream: io.StringIO) -> Delivered:
        """What was written there."""
        return lambda: [Message(*found) for found in _SHOWN.findall(stream.getvalue())]


class TestSmtp(NotifyConformance):
    """The suite, on aiosmtpd."""

    @pytest.fixture
    def service(self, server: Any, make_service: Callable[..., SmtpNotifyService]) -> SmtpNotifyService:
        """A service that sends there."""
        return make_service(server)

    @pytest.fixture
    def delivered(self, server: Any) -> Delivered:
        """What arrived there."""
        found: Delivered = server.delivered
        return found
