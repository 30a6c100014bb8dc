"""What is sent; imported by applications and by backends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from indiaai_notify.errors import InvalidMessage

__all__ = ["MAX_SUBJECT_CHARACTERS", "Message"]

MAX_SUBJECT_CHARACTERS = 200
"""The longest subject."""

# One address: whatever else it may be, it is one line, and ends nothing that it is put into.
_ADDRESS = re.compile(r"[^\s<>,;:\"\\()\[\]@]{1,64}@[^\s<>,;:\"\\()\[\]@]{1,253}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one person.

    Attributes:
        recipient: An e-mail address, without a name; in any script.
        subject: One line of 1 to 200 characters.
        text: The text, in any script and of any length.
    """

    recipient: str
    subject: str
    text: str

    def __post_init__(self) -> None:
        """Refuse what no backend would take.

        Raises:
            InvalidMessage: The recipient is no address, the subject is empty, long or no line, or a text is not whole.
        """
        if not _ADDRESS.fullmatch(self.recipient):
            raise InvalidMessage(f"The recipient {self.recipient[:80]!r} is no address: give one such as asha@example.in.")
        if not 1 <= len(self.subject) <= MAX_SUBJECT_CHARACTERS:
            raise InvalidMessage(f"The subject has {len(self.subject)} characters: give 1 to {MAX_SUBJECT_CHARACTERS}.")
        if not self.subject.isprintable():
            raise InvalidMessage("The subject has a line break or another control character: give one line of text.")
        try:
            (self.recipient + self.text).encode()
        except UnicodeEncodeError as error:
            raise InvalidMessage("The text has half a surrogate pair: decode it with its own encoding.") from error
