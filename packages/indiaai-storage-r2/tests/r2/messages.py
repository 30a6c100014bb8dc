"""What arrives at the R2 rule server, and what it sends back; imported by all of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

__all__ = ["Answer", "Refused", "Request", "element", "refusal", "text", "xml_answer"]


@dataclass(frozen=True)
class Request:
    """What arrived: header names in lower case, the target as it was on the wire.

    Attributes:
        method: `GET`, `PUT` and so on.
        target: Path and query, still quoted.
        headers: The header fields.
        body: All of the body.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The path, unquoted and as it was spelled; dot segments are names like any other."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The query's pairs, unquoted; a bare `+` is a blank, which is how upload ids get lost."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query by name."""
        return dict(self.pairs)

    @property
    def bucket(self) -> str:
        """The bucket: the first part of the path, for the address is path style."""
        return self.path[1:].partition("/")[0]

    @property
    def key(self) -> str:
        """The key as it was spelled; empty where the request is about the bucket."""
        return self.path[1:].partition("/")[2]

    @property
    def place(self) -> str:
        """What names the object: composed and decomposed spellings are one."""
        return unicodedata.normalize("NFC", self.path)


@dataclass
class Answer:
    """What is sent back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Refused(Exception):
    """Ends the work on a request; `answer` is what is said."""

    def __init__(self, status: int, code: str, message: str | None = "said so") -> None:
        """Hold what is said."""
        super().__init__(f"{status} {code}: {message}")
        self.answer = refusal(status, code, message)


def refusal(status: int, code: str, message: str | None = "said so", **headers: str) -> Answer:
    """Return an error as R2 says it; without a message where it is None."""
    said = "" if message is None else text("Message", message)
    return xml_answer(element("Error", text("Code", code), said), status=status, **headers)


def element(name: str, *content: str) -> str:
    """Return an XML element that holds others."""
    return f"<{name}>{''.join(content)}</{name}>"


def text(name: str, value: object) -> str:
    """Return an XML element that holds text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def xml_answer(document: str, *, status: int = 200, **headers: str) -> Answer:
    """Return an answer that is a document."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>{document}'.encode()
    return Answer(status, {"Content-Type": "application/xml", **headers}, body)
