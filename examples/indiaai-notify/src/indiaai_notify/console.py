"""The default backend: messages are shown and go nowhere."""

from __future__ import annotations

import sys
import uuid
from typing import ClassVar, TextIO

from indiaai_core import BackendUnavailable
from indiaai_notify.message import Message
from indiaai_notify.service import NotifyService

__all__ = ["ConsoleNotifyService"]


class ConsoleNotifyService(NotifyService):
    """Writes messages to standard error, for a laptop and for tests. There is nothing to set."""

    contract_version: ClassVar[int] = 1

    def __init__(self, *, stream: TextIO | None = None) -> None:
        """Hold where to write to.

        Args:
            stream: A text file; None for standard error, whatever it is at the time.
        """
        self._stream = stream
        self._is_closed = False

    async def check(self) -> None:
        """Refuse where the service is closed."""
        if self._is_closed:
            raise BackendUnavailable("The notify service on the console is closed: ask the platform for one.")

    async def send(self, message: Message) -> str:
        """Write the message at once, in one piece."""
        await self.check()
        message_id = f"<{uuid.uuid4().hex}@console>"
        head = f"Message {message_id}\nTo: {message.recipient}\nSubject: {message.subject}\n\n"
        stream = self._stream or sys.stderr
        try:
            stream.write(f"{head}{message.text}\n\n")
            stream.flush()
        except (OSError, ValueError) as error:
            raise BackendUnavailable(f"The console takes nothing: {error}. See where standard error goes.") from error
        return message_id

    async def aclose(self) -> None:
        """Send no more."""
        self._is_closed = True
