"""What reading a file gives, or why it gives nothing; imported by every reader and by the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["MAX_TEXT_CHARACTERS", "Content", "Report", "TextCollector", "Unreadable", "storable"]

MAX_TEXT_CHARACTERS = 200_000
"""The most characters of text that are kept; the counts are always of the whole, and the file itself is kept anyway."""

Report = Callable[[float], None]
"""Hears which part of a file has been read, from 0 to 1."""


class Unreadable(Exception):
    """The file cannot be read and never will be; the message is for the person who sent it."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, shortened: a broken file's own words may be in it."""
        super().__init__(storable(reason if len(reason) <= 500 else f"{reason[:497]}..."))


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds.

    Attributes:
        kind: What the file is: `text`, `markdown`, `pdf` or `image`.
        facts: What is known about it, such as `pages` or `width`.
        text: Its text, at most `MAX_TEXT_CHARACTERS` long; empty where it has none.
    """

    kind: str
    facts: dict[str, int | str | bool] = field(default_factory=dict)
    text: str = ""


class TextCollector:
    """Counts the characters, words and lines of a text that comes in pieces, and keeps its beginning.

    A character is a Unicode code point, so a Devanagari or Tamil syllable may be several. A word is what stands between
    white space.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._characters = self._words = self._newlines = 0
        self._last = ""
        self._kept: list[str] = []
        self._room = MAX_TEXT_CHARACTERS

    def add(self, piece: str) -> None:
        """Take the next piece; a word may go on from the piece before."""
        if not piece:
            return
        goes_on = bool(self._last) and not self._last.isspace() and not piece[0].isspace()
        self._characters += len(piece)
        self._words += len(piece.split()) - goes_on
        self._newlines += piece.count("\n")
        self._last = piece[-1]
        if self._room:
            self._kept.append(piece[: self._room])
            self._room -= len(self._kept[-1])

    @property
    def text(self) -> str:
        """The beginning of the text."""
        return storable("".join(self._kept))

    @property
    def facts(self) -> dict[str, int | str | bool]:
        """The counts of the whole."""
        lines = self._newlines + (bool(self._last) and self._last != "\n")
        return {
            "characters": self._characters,
            "words": self._words,
            "lines": lines,
            "is_text_complete": self._characters <= MAX_TEXT_CHARACTERS,
        }


def storable(text: str) -> str:
    """Return a text without what a database or UTF-8 cannot hold: NUL and lone surrogates, which broken files produce."""
    # By way of UTF-16, which makes one character of a pair of surrogates that belong together.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
