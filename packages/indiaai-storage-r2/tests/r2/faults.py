"""What goes wrong at the R2 rule server when a test says so; imported by the server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from r2.messages import Answer

__all__ = ["Fault", "flip_a_bit"]


@dataclass
class Fault:
    """Something that goes wrong with the next request of a method, once.

    Attributes:
        method: The request's method.
        answer: What is answered in place of doing it.
        cut_body_after: How many bytes of the request's body are read before the connection is reset.
        cut_answer_after: How many bytes of the answer's body are sent before the connection is reset; -1: it is not answered.
        flip: Whether one bit of what is received or sent is flipped.
        until: What must happen before the request is worked on.
        then: Called before the connection is reset.
    """

    method: str
    answer: Answer | None = None
    cut_body_after: int | None = None
    cut_answer_after: int | None = None
    flip: bool = False
    until: threading.Event | None = None
    then: Callable[[], object] = lambda: None


def flip_a_bit(content: bytes) -> bytes:
    """Return the content with one bit of its middle byte changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else content
