"""The interface; every backend extends it."""

from __future__ import annotations

from abc import abstractmethod

from indiaai_core import Service
from indiaai_notify.message import Message

__all__ = ["NotifyService"]


class NotifyService(Service):
    """Sends messages to people. All tasks of an event loop may share an instance.

    After `aclose` every call raises `BackendUnavailable`.
    """

    @abstractmethod
    async def send(self, message: Message) -> str:
        """Hand a message over, and return when somebody else has taken it.

        One that raises may have arrived all the same, where the answer was lost: the id tells copies apart.

        Args:
            message: The message; it checked itself when it was made.

        Returns:
            The message's id, unique in the world, of printable ASCII.

        Raises:
            RecipientRefused: It will not be taken later either.
            BackendUnavailable: Nobody takes it now.
        """
