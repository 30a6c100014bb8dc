"""What a caller may catch beside `BackendUnavailable`; imported by the backends and by applications."""

from __future__ import annotations

from indiaai_core import IndiaAIError

__all__ = ["InvalidMessage", "NotifyError", "RecipientRefused"]


class NotifyError(IndiaAIError):
    """The root of the layer's errors."""


class InvalidMessage(NotifyError, ValueError):
    """A message that no backend would take; nothing was sent."""


class RecipientRefused(NotifyError):
    """The recipient's side does not take the message, and will not take it later."""
