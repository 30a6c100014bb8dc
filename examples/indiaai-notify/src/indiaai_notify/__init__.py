"""The layer `notify` for indiaai: messages to people, on whatever backend `NOTIFY_TYPE` selects."""

from indiaai_notify.errors import InvalidMessage, NotifyError, RecipientRefused
from indiaai_notify.factory import get_notify_service
from indiaai_notify.message import Message
from indiaai_notify.service import NotifyService

__all__ = ["InvalidMessage", "Message", "NotifyError", "NotifyService", "RecipientRefused", "get_notify_service"]
