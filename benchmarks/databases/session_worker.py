"""One contender's sessions as a process that does the cells it is asked for; imported by `database`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from databases.sessions import CONTENDERS, STATEMENTS, Sessions
from indiaai_core.errors import IndiaAIError
from storage.meters import measure_calls
from storage.rounds import Cell, serve

__all__ = ["serve_sessions"]

WARM_CALLS = 32


async def serve_sessions(name: str, options: Mapping[str, Any]) -> None:
    """Open a contender's sessions and do what it is asked, until nobody asks any more."""
    sessions = CONTENDERS[options["dialect"]][name](options["places"][name])
    try:
        await serve({}, _Worker(sessions).answer)
    finally:
        await sessions.aclose()


class _Worker:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._failed = 0

    async def answer(self, cell: Cell) -> dict[str, float]:
        """Measure one cell."""
        work = STATEMENTS[cell["do"]]

        async def call(number: int) -> None:
            try:
                await work(self._sessions, number)
            except (SQLAlchemyError, IndiaAIError):
                self._failed += 1

        await measure_calls(call, at_once=cell["at_once"], count=WARM_CALLS)
        self._failed = 0
        figures = await measure_calls(call, at_once=cell["at_once"], seconds=cell["seconds"])
        return {**figures, "failed": self._failed}
