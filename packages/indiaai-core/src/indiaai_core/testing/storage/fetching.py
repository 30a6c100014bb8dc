"""How the promises about URLs reach a URL; imported by them and by whoever writes the fixture `http`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Answer", "Fetch"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one HTTP request.

    Attributes:
        status: The status code.
        headers: The header fields, their names in lower case.
        body: The body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Fetch(Protocol):
    """Sends one HTTP request and returns what came back, following no redirect."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Awaitable[Answer]:
        """Send it.

        Args:
            method: `GET`, `PUT` and so on.
            url: What the service gave: absolute, or a path where the application serves it.
            headers: Header fields to send.
            body: What to send after them.
        """
        raise NotImplementedError
