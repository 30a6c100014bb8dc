"""The whole suite; imported by backends' authors as `indiaai_notify.testing.NotifyConformance`."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from indiaai_core import BackendUnavailable
from indiaai_core.testing import Conformance, promise
from indiaai_notify.message import Message
from indiaai_notify.service import NotifyService

__all__ = ["Delivered", "NotifyConformance"]

Delivered = Callable[[], list[Message]]
"""Gives all messages that arrived, in the order of their arrival, their texts without the line break at the end."""


class NotifyConformance(Conformance):
    """What every backend does.

    Subclass it in a test module and give two fixtures: `service`, an open service to which nothing was sent, and
    `delivered`, a `Delivered` that looks where its messages arrive.
    """

    @pytest.fixture
    def delivered(self) -> Delivered:
        """Say what is missing, where the backend's test does not look where its messages arrive."""
        raise NotImplementedError("Give the fixture `delivered`: a function that returns the messages that arrived.")

    @promise("N01", "What `send` returned for has arrived, once, and as it was given.")
    async def test_message_arrives_as_it_was_given(self, service: NotifyService, delivered: Delivered) -> None:
        message = Message("asha@example.in", "Your document", "It is ready.")

        await service.send(message)

        assert delivered() == [message]

    @promise("N02", "Subject and text are in any script.")
    async def test_any_script_arrives(self, service: NotifyService, delivered: Delivered) -> None:
        message = Message("asha@example.in", "आपका दस्तावेज़ 📄", "தயார்.\nতৈরি।\n" + "क्ष" * 2000)

        await service.send(message)

        assert delivered() == [message]

    @promise("N03", "No line of a text ends it, or is taken for anything else.")
    async def test_lines_mean_nothing(self, service: NotifyService, delivered: Delivered) -> None:
        message = Message("asha@example.in", "Lines", "one\n.\n..two\n\nQUIT\nFrom here: on\nSubject: no")

        await service.send(message)

        assert delivered() == [message]

    @promise("N04", "Each message has an id of its own, which is printable ASCII.")
    async def test_ids_differ(self, service: NotifyService, delivered: Delivered) -> None:
        message = Message("asha@example.in", "Again", "and again")

        ids = [await service.send(message) for _ in range(3)]

        assert len({*ids}) == 3
        assert all(it.isascii() and it.isprintable() for it in ids)
        assert delivered() == [message] * 3

    @promise("N05", "Messages sent side by side all arrive.")
    async def test_side_by_side(self, service: NotifyService, delivered: Delivered) -> None:
        messages = [Message(f"user{n}@example.in", f"No. {n}", f"You are {n}") for n in range(20)]

        async with anyio.create_task_group() as group:
            for message in messages:
                group.start_soon(service.send, message)

        assert sorted(delivered(), key=messages.index) == messages

    @promise("N06", "A check of a service that can serve passes and sends nothing.")
    async def test_check_sends_nothing(self, service: NotifyService, delivered: Delivered) -> None:
        await service.check()
        await service.probe()

        assert delivered() == []

    @promise("N07", "After its end every call is BackendUnavailable; closing again does nothing.")
    async def test_closed_service_is_unavailable(self, service: NotifyService, delivered: Delivered) -> None:
        await service.aclose()
        await service.aclose()

        with pytest.raises(BackendUnavailable, match="closed"):
            await service.send(Message("asha@example.in", "Late", "too late"))
        with pytest.raises(BackendUnavailable, match="closed"):
            await service.check()
        assert delivered() == []
