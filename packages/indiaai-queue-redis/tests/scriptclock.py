"""The server's clock as the scripts see it, in a test's hands."""

from __future__ import annotations

import hashlib

import pytest

from indiaai_queue_redis import link

__all__ = ["ScriptClock"]

_ASKS = "local time = call('TIME')\n"


class ScriptClock:
    """Writes into every script how much later it is than the server says. The server itself goes by its own time, still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand before what gives the scripts' texts."""
        self._microseconds = 0
        self._script = link._script
        monkeypatch.setattr(link, "_script", self.script)

    async def advance(self, seconds: float) -> None:
        """Skip ahead."""
        self._microseconds += round(seconds * 1_000_000)

    def script(self, name: str) -> tuple[str, str]:
        """Return a script's text, by the time that it is to see, and its digest."""
        text, digest = self._script(name)
        if not self._microseconds:
            return text, digest
        assert text.count(_ASKS) == 1, "the prelude asks for the time in another way"
        skips = (
            f"local later = time[1] * 1000000 + time[2] + {self._microseconds}\n"
            "time = { math.floor(later / 1000000), later % 1000000 }\n"
        )
        text = text.replace(_ASKS, _ASKS + skips)
        return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
