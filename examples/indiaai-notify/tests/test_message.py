"""What is no message."""

from __future__ import annotations

import pytest

from indiaai_notify import InvalidMessage, Message


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "asha",
        "@example.in",
        "asha@",
        "a@b@c",
        "asha@example.in\nBcc: all@example.in",
        "Asha <asha@example.in>",
        "a,b@example.in",
    ],
)
def test_recipient_is_one_address(recipient: str) -> None:
    """Whatever is no single address is refused, and so is what would add a header or a second recipient."""
    with pytest.raises(InvalidMessage, match="recipient"):
        Message(recipient, "Subject", "Text")


@pytest.mark.parametrize("subject", ["", "x" * 201, "two\nlines", "two\r\nBcc: all@example.in", "a\0b", "half \ud800"])
def test_subject_is_one_line(subject: str) -> None:
    """A subject that is empty, too long, or no line of text is refused."""
    with pytest.raises(InvalidMessage, match="subject"):
        Message("asha@example.in", subject, "Text")


def test_text_is_text() -> None:
    """Half a surrogate pair, which no encoding can say, is refused."""
    with pytest.raises(InvalidMessage, match="surrogate"):
        Message("asha@example.in", "Subject", "half \ud800")
