"""What the lean client raises; imported by the modules beside it and by whoever translates."""

from __future__ import annotations

from typing import Any

__all__ = ["ConnectionCut", "Refused", "Unanswered"]


class Refused(Exception):
    """The store answered with an error.

    Attributes:
        response: The error in the form that boto3's `ClientError` has it: `Error` and `ResponseMetadata`.
        operation_name: What was asked for, such as `GetObject`.
    """

    def __init__(self, response: dict[str, Any], operation_name: str) -> None:
        error = response["Error"]
        super().__init__(f"{operation_name} was answered {error['Code']}: {error['Message']}")
        self.response = response
        self.operation_name = operation_name


class Unanswered(Exception):
    """There is no answer, or none that can be trusted: no connection, a cut, a timeout, or something that is not HTTP."""


class ConnectionCut(Unanswered):
    """The other side has closed the connection."""
